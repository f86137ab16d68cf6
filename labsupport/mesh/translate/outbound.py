"""What every captured connection meets first, going out: the listener `outbound`, and where it leads.

A connection to a Service's address is handed over to that Service's own listener (services.py). What is left goes where
it was going: to another Pod of the mesh with mTLS, to anything else as it is.
"""

from __future__ import annotations

from labsupport.mesh import names
from labsupport.mesh.model import Model
from labsupport.mesh.translate import envoy, reports, tls
from labsupport.mesh.translate.envoy import Json
from labsupport.mesh.translate.resource import CAPTURED, EVERYONE, Key, Resource

OUTBOUND, PEERS, PASSTHROUGH = "outbound", "peers", "passthrough"
NOWHERE = "nowhere"  # a cluster that is never defined: connections to it are closed
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
    return [*found, Resource(Key(envoy.LISTENER, CAPTURED, OUTBOUND), listener(model))]


def listener(model: Model) -> Json:
    """The listener on the port that the capture rules redirect to."""
    told = reports.tcp(model, reports.OUTBOUND)
    filters = {name: envoy.tcp(name, name, **told) for name in (PEERS, PASSTHROUGH)}
    filters[NOWHERE] = envoy.tcp(NOWHERE, NOWHERE)
    return {
        "name": OUTBOUND,
        "address": envoy.address("0.0.0.0", names.OUTBOUND),  # noqa: S104 (redirected connections come to any address)
        "traffic_direction": "OUTBOUND",
        "use_original_dst": True,
        "listener_filters": [envoy.original_dst()],
        "filter_chains": [{"name": name, "filters": [each]} for name, each in filters.items()],
        # A matcher beside the chains, not matches in them: a Pod that comes or goes changes no chain, and a chain that
        # is not changed keeps its connections.
        "filter_chain_matcher": _by_port(
            # Nobody is redirected from this port, so this is a connection to the proxy itself, which would call itself.
            {names.OUTBOUND: _chain(NOWHERE), **dict.fromkeys(OPEN_PORTS, _chain(PASSTHROUGH))},
            {"matcher": _by_address(model)},
        ),
    }


def _by_address(model: Model) -> Json:
    known = {}
    for name in sorted(model.workloads):
        workload = model.workloads[name]
        if workload.capture == "redirect" and workload.address:
            action = _chain(PEERS)
            if workload.uncaptured:
                open_ports = dict.fromkeys(sorted(workload.uncaptured), _chain(PASSTHROUGH))
                action = {"matcher": _by_port(open_ports, action)}
            known[workload.address] = action
    if not known:
        return _by_port(
            {0: _chain(NOWHERE)}, _chain(PASSTHROUGH)
        )  # a map must have an entry; nobody calls port 0
    return _by("DestinationIPInput", known, _chain(PASSTHROUGH))


def _by_port(ports: dict[int, Json], otherwise: Json) -> Json:
    return _by("DestinationPortInput", {str(port): action for port, action in ports.items()}, otherwise)


def _by(kind: str, actions: dict[str, Json], otherwise: Json) -> Json:
    """A matcher that looks one value up (xds.type.matcher.v3.Matcher)."""
    value = {"name": kind, "typed_config": {"@type": f"type.googleapis.com/{_INPUT}.{kind}"}}
    return {"matcher_tree": {"input": value, "exact_match_map": {"map": actions}}, "on_no_match": otherwise}


def _chain(name: str) -> Json:
    value = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": name}
    return {"action": {"name": name, "typed_config": value}}


def _original(name: str) -> Json:
    return {
        "name": name,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "5s",
        "circuit_breakers": envoy.UNLIMITED,
    }
