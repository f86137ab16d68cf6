"""What every captured connection meets first, going out: the listener `outbound`, and where it leads.

A connection to a Service's address is handed over to that Service's own listener (services.py). What is left goes where
it was going: to another Pod of the mesh with mTLS, to anything else as it is.
"""

from __future__ import annotations

from labsupport.mesh import egress as policies
from labsupport.mesh import names
from labsupport.mesh.egress import EgressPolicy
from labsupport.mesh.model import Model
from labsupport.mesh.translate import egress, envoy, reports, tls
from labsupport.mesh.translate.envoy import Json
from labsupport.mesh.translate.resource import CAPTURED, EVERYONE, Key, Resource, of_captured

OUTBOUND, PEERS, OPEN = "outbound", "peers", "open"
PASSTHROUGH, NOWHERE = egress.PASSTHROUGH, egress.NOWHERE
SNIFF_TIMEOUT = "1s"
# Ports that are never captured on the other side, so that no TLS may be begun there.
OPEN_PORTS = (names.PROBES, names.HEALTH, names.METRICS)
_INPUT = "envoy.extensions.matching.common_inputs.network.v3"


def translate(model: Model) -> list[Resource]:
    """The listener for all that goes out, and its clusters."""
    clusters = [
        _original(PASSTHROUGH),
        # The Pod's address is all that is known here, not a Service: any identity of the mesh may answer.
        _original(PEERS) | {"transport_socket": tls.upstream((), [names.ALPN_TCP, names.ALPN_MESH])},
    ]
    found = [Resource(Key(envoy.CLUSTER, EVERYONE, each["name"]), each) for each in clusters]
    made = listener(model, policies.default(model))
    return [*found, Resource(Key(envoy.LISTENER, CAPTURED, OUTBOUND), made)]


def of_namespace(model: Model, namespace: str) -> list[Resource]:
    """The same for a namespace with an EgressPolicy of its own; nothing where there is none."""
    policy = policies.of(model, namespace)
    if not policy.name.name:
        return []
    scope, source = of_captured(namespace), (policy.reference,)
    found = [Resource(Key(envoy.LISTENER, scope, OUTBOUND), listener(model, policy), source)]
    if policy.sniffed:
        found.append(Resource(Key(envoy.CLUSTER, scope, egress.FORWARD), egress.forward(), source))
    return found


def listener(model: Model, policy: EgressPolicy) -> Json:
    """The listener on the port that the capture rules redirect to."""
    inspectors = egress.listener_filters(policy)
    waits = {"listener_filters_timeout": SNIFF_TIMEOUT, "continue_on_listener_filters_timeout": True}
    told = reports.tcp(model, reports.OUTBOUND)
    filters = {PEERS: envoy.tcp(PEERS, PEERS, **told), OPEN: envoy.tcp(OPEN, PASSTHROUGH, **told)}
    filters[NOWHERE] = envoy.tcp(NOWHERE, NOWHERE)
    return {
        "name": OUTBOUND,
        "address": envoy.address("0.0.0.0", names.OUTBOUND),  # noqa: S104 (redirected connections come to any address)
        "traffic_direction": "OUTBOUND",
        "use_original_dst": True,
        "listener_filters": [envoy.original_dst(), *inspectors],
        **(waits if inspectors else {}),
        "filter_chains": [
            *({"name": name, "filters": [each]} for name, each in filters.items()),
            *egress.chains(model, policy),
        ],
        # A matcher beside the chains, not matches in them: a Pod that comes or goes changes no chain, and a chain that
        # is not changed keeps its connections.
        "filter_chain_matcher": _matcher(model, policy),
    }


def _matcher(model: Model, policy: EgressPolicy) -> Json:
    outside = egress.decision(policy)
    otherwise = _by_address(model, policy, outside)
    # Nobody is redirected from this port, so this is a connection to the proxy itself, which would call itself.
    ports = {names.OUTBOUND: egress.take(NOWHERE)}
    if policy.refuses:
        captured = (each for each in model.workloads.values() if each.capture == "redirect" and each.address)
        to_pods = _by("DestinationIPInput", {each.address: egress.take(OPEN) for each in captured}, outside)
        open_ports = [{"predicate": egress.port_is(OPEN_PORTS), "on_match": to_pods}]
        otherwise = {"matcher": {"matcher_list": {"matchers": open_ports}, "on_no_match": otherwise}}
    else:
        ports |= dict.fromkeys(OPEN_PORTS, outside)
    found: Json = _by_port(ports, otherwise)["matcher"]
    return found


def _by_address(model: Model, policy: EgressPolicy, outside: Json) -> Json:
    """What goes to a Pod of the mesh, and what goes out of it."""
    known = {}
    for name in sorted(model.workloads):
        workload = model.workloads[name]
        if workload.capture == "redirect" and workload.address:
            action = egress.take(PEERS)
            if workload.uncaptured:
                action = _by_port(dict.fromkeys(sorted(workload.uncaptured), egress.take(OPEN)), action)
            known[workload.address] = action
        elif workload.address and policy.refuses:
            known[workload.address] = egress.take(OPEN)  # it is of the mesh, and answers plaintext
    return _by("DestinationIPInput", known, outside)


def _by_port(ports: dict[int, Json], otherwise: Json) -> Json:
    return _by("DestinationPortInput", {str(port): action for port, action in ports.items()}, otherwise)


def _by(kind: str, actions: dict[str, Json], otherwise: Json) -> Json:
    """What to do by looking one value up (an on_match of xds.type.matcher.v3.Matcher); a map may not be empty."""
    if not actions:
        return otherwise
    value = {"name": kind, "typed_config": {"@type": f"type.googleapis.com/{_INPUT}.{kind}"}}
    tree = {"input": value, "exact_match_map": {"map": actions}}
    return {"matcher": {"matcher_tree": tree, "on_no_match": otherwise}}


def _original(name: str) -> Json:
    return {
        "name": name,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "5s",
        "circuit_breakers": envoy.UNLIMITED,
    }
