"""What goes out of the mesh, where not everything may: filter chains of the listener `outbound`, and who gets which.

Each thing that is allowed has a chain of its own. A chain that a change leaves as it was keeps its connections; one
that goes takes them along (the drain of proxy/__main__.py): what is no longer allowed ends, and the rest goes on.

A host is allowed by the name that the client gives, in TLS (SNI) or in HTTP (Host), and whoever gives a name can give a
false one. So the address that the client called counts for nothing there: the proxy looks the name up and calls that.
"""

from __future__ import annotations

from labsupport.mesh.egress import EgressPolicy, Rule
from labsupport.mesh.model import Model
from labsupport.mesh.translate import envoy, reports
from labsupport.mesh.translate.envoy import Json

PASSTHROUGH = (
    "passthrough"  # the cluster that calls the address that was called, and the chain where all may go there
)
NOWHERE = "nowhere"  # a cluster that is never defined: connections to it are closed
FORWARD = "forward"  # the cluster that looks names up
REFUSED = "refused"
_DNS = {"name": "mesh", "dns_lookup_family": "V4_ONLY"}
_FILTER = "extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig"
_CLUSTER = "extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig"
_SNI = "extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig"
_NETWORK = "extensions.matching.common_inputs.network.v3"
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def forward() -> Json:
    """The cluster that calls whatever host it is told: names are looked up in the Pod's own DNS."""
    options: Json = {
        "@type": f"type.googleapis.com/{_OPTIONS}",
        "use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}},
        # Asked for by this kind of cluster, whether it speaks TLS or not.
        "upstream_http_protocol_options": {"auto_sni": True, "auto_san_validation": True},
    }
    return {
        "name": FORWARD,
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "5s",
        "cluster_type": envoy.typed("envoy.clusters.dynamic_forward_proxy", _CLUSTER, dns_cache_config=_DNS),
        "typed_extension_protocol_options": {_OPTIONS: options},
    }


def http_filter() -> Json:
    """The HTTP filter that goes before that cluster."""
    return envoy.typed("envoy.filters.http.dynamic_forward_proxy", _FILTER, dns_cache_config=_DNS)


def virtual_hosts(policy: EgressPolicy, ports: list[int]) -> list[Json]:
    """For HTTP: the hosts that may be called at these ports, and a refusal for all others."""
    anything: Json = {"match": {"prefix": "/"}, "route": {"cluster": FORWARD, "timeout": "0s"}}
    if not policy.refuses:
        return [{"name": FORWARD, "domains": ["*"], "routes": [anything]}]
    # The port too is the client's to say, in Host; a name without one means 80.
    domains = [f"{host}:{port}" for port in ports for host in policy.hosts(port)]
    domains += policy.hosts(80) if 80 in ports else []
    text = "refused by the mesh: no EgressPolicy allows this host\n"
    refusal = {"match": {"prefix": "/"}, "direct_response": {"status": 403, "body": {"inline_string": text}}}
    allowed = [{"name": FORWARD, "domains": domains, "routes": [anything]}] if domains else []
    return [*allowed, {"name": REFUSED, "domains": ["*"], "routes": [refusal]}]


def chains(model: Model, policy: EgressPolicy) -> list[Json]:
    """The filter chains for what goes out of the mesh; each says in its name what it is for."""
    told = reports.tcp(model, reports.OUTBOUND)
    if not policy.refuses:
        return [_chain(PASSTHROUGH, envoy.tcp(PASSTHROUGH, PASSTHROUGH, **told))]
    made = {REFUSED: [envoy.tcp(f"egress.{REFUSED}", NOWHERE, **told)]}
    for rule in policy.rules:
        if rule.cidrs:
            made[_addresses(rule)] = [envoy.tcp("egress", PASSTHROUGH, **told)]
    for port in policy.sniffed:
        for host in policy.hosts(port):
            looked_up = envoy.typed(
                "envoy.filters.network.sni_dynamic_forward_proxy",
                _SNI,
                port_value=port,
                dns_cache_config=_DNS,
            )
            made[_tls(host, port)] = [looked_up, envoy.tcp("egress", FORWARD, **told)]
        hosts = virtual_hosts(policy, [port])
        routes = {"name": "egress", "virtual_hosts": hosts, "validate_clusters": False}
        asked = reports.http(model, reports.OUTBOUND)
        made[_http(port)] = [envoy.http("egress", routes=routes, filters=[http_filter()], **asked)]
    return [_chain(name, *filters) for name, filters in made.items()]


def decision(policy: EgressPolicy) -> Json:
    """Which chain takes a connection that goes out of the mesh (an on_match of xds.type.matcher.v3.Matcher)."""
    if not policy.refuses:
        return take(PASSTHROUGH)
    cases = [
        (_all([_in(rule.cidrs), *([port_is(rule.ports)] if rule.ports else [])]), _addresses(rule))
        for rule in policy.rules
        if rule.cidrs
    ]
    for port in policy.sniffed:
        here = port_is((port,))
        cases += [(_all([here, _named(host)]), _tls(host, port)) for host in policy.hosts(port)]
        plain = _is("TransportProtocolInput", {"exact": "raw_buffer"})
        # As the input writes what the inspector found: quoted.
        speaks = _any(
            [_is("ApplicationProtocolInput", {"exact": f"'{each}'"}) for each in envoy.HTTP_PROTOCOLS]
        )
        cases.append((_all([here, plain, speaks]), _http(port)))
    if not cases:
        return take(REFUSED)
    matchers = [{"predicate": predicate, "on_match": take(name)} for predicate, name in cases]
    return {"matcher": {"matcher_list": {"matchers": matchers}, "on_no_match": take(REFUSED)}}


def listener_filters(policy: EgressPolicy) -> list[Json]:
    """The inspectors, for the ports where a name decides and no others: there a server that speaks first is waited for.

    A change here is one of the whole listener, and ends all connections that it has.
    """
    ports = [{"destination_port_range": {"start": port, "end": port + 1}} for port in policy.sniffed]
    if not ports:
        return []
    at = {"or_match": {"rules": ports}} if len(ports) > 1 else ports[0]
    return [each | {"filter_disabled": {"not_match": at}} for each in envoy.inspectors()]


def take(name: str) -> Json:
    """What a matcher of filter chains says: this chain."""
    value = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": name}
    return {"action": {"name": name, "typed_config": value}}


def _chain(name: str, *filters: Json) -> Json:
    return {"name": name, "filters": list(filters)}


def _addresses(rule: Rule) -> str:
    return f"{','.join(rule.cidrs)}:{','.join(map(str, rule.ports)) or '*'}"


def _tls(host: str, port: int) -> str:
    return f"tls {host}:{port}"


def _http(port: int) -> str:
    return f"http :{port}"


def _in(cidrs: tuple[str, ...]) -> Json:
    """A predicate: the destination is in one of these ranges."""
    ranges = [
        {"address_prefix": address, "prefix_len": int(length)}
        for address, _, length in (each.partition("/") for each in cidrs)
    ]
    ip = envoy.typed(
        "ip", "extensions.matching.input_matchers.ip.v3.Ip", cidr_ranges=ranges, stat_prefix="egress"
    )
    return {"single_predicate": {"input": _input("DestinationIPInput"), "custom_match": ip}}


def port_is(ports: tuple[int, ...]) -> Json:
    """A predicate: the destination's port is one of these."""
    return _any([_is("DestinationPortInput", {"exact": str(port)}) for port in ports])


def _named(host: str) -> Json:
    how = {"suffix": host[1:]} if host.startswith("*.") else {"exact": host}
    return _is("ServerNameInput", how)


def _is(kind: str, value: Json) -> Json:
    return {"single_predicate": {"input": _input(kind), "value_match": value}}


def _input(kind: str) -> Json:
    return envoy.typed(kind, f"{_NETWORK}.{kind}")


def _all(predicates: list[Json]) -> Json:
    return {"and_matcher": {"predicate": predicates}} if len(predicates) > 1 else predicates[0]


def _any(predicates: list[Json]) -> Json:
    return {"or_matcher": {"predicate": predicates}} if len(predicates) > 1 else predicates[0]
