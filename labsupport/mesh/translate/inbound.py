"""What comes to a Pod: the listener `inbound`, and the clusters that lead to the application.

Connections from the mesh are known by what their TLS offers (ALPN): `labs.mesh` with HTTP in it, `labs.tcp` with bytes.
Everything else is plain, or TLS of the application's own; in mode STRICT no filter chain takes it, and it is closed.
"""

from __future__ import annotations

from labsupport.mesh import api, names
from labsupport.mesh.api import Name, Reference, Workload
from labsupport.mesh.authorization import spellings
from labsupport.mesh.model import Model
from labsupport.mesh.translate import authorization, envoy, reports, tls
from labsupport.mesh.translate.envoy import Json
from labsupport.mesh.translate.outbound import NOWHERE
from labsupport.mesh.translate.resource import EVERYONE, Key, Resource, of_workload

INBOUND, INBOUND_HTTP2 = "inbound", "inbound/http2"
SNIFF_TIMEOUT = "1s"
# To applications after CGI these would be the header that says who called.
_FORGED = spellings("x-forwarded-client-cert")
_HTTP_PROTOCOLS = ["http/1.1", "http/1.0"]


def translate(model: Model, name: Name) -> list[Resource]:
    """The resources of one Pod's own; nothing if it has no proxy, or none that is captured to."""
    workload = model.workloads.get(name)
    if workload is None or workload.capture != "redirect":
        return []
    held = model.authentication(name.namespace)
    decides = any(of_bytes(model, workload).values())
    policies = [each.reference for each in model.policies_for(workload)] if decides else []
    sources = (Reference("Pod", *name), *([held.reference] if held else []), *policies)
    return [Resource(Key(envoy.LISTENER, of_workload(name), INBOUND), listener(model, workload), sources)]


def clusters() -> list[Resource]:
    """The ways to the application, the same for every Pod."""
    found = [_cluster(INBOUND), _cluster(INBOUND_HTTP2) | {"typed_extension_protocol_options": envoy.HTTP2}]
    return [Resource(Key(envoy.CLUSTER, EVERYONE, each["name"]), each) for each in found]


def listener(model: Model, workload: Workload) -> Json:
    """The listener on the port that the capture rules redirect to."""
    name, ports, tcp = workload.name, _ports(model, workload), of_bytes(model, workload)
    model = reports.untraced(model, workload)
    chains = [_chain("nowhere", [envoy.tcp("nowhere", NOWHERE)], {"destination_port": names.INBOUND})]
    for number, protocol in sorted(ports.items()):
        chains += _chains(model, protocol, model.mode(name.namespace, number), number, tcp[number])
    chains += _chains(model, api.AUTO, model.mode(name.namespace), None, tcp[None])
    return {
        "name": INBOUND,
        "address": envoy.address("0.0.0.0", names.INBOUND),  # noqa: S104 (redirected connections come to any address)
        "traffic_direction": "INBOUND",
        "listener_filters": [envoy.original_dst(), *envoy.inspectors()],
        "listener_filters_timeout": SNIFF_TIMEOUT,
        "continue_on_listener_filters_timeout": True,
        "filter_chains": chains,
    }


def _ports(model: Model, workload: Workload) -> dict[int, str]:
    """The ports with filter chains of their own, and their protocols."""
    held = model.authentication(workload.name.namespace)
    ports = {**dict.fromkeys(held.ports if held else (), api.AUTO), **model.ports_of(workload)}
    ports.pop(names.INBOUND, None)  # nothing but this proxy listens there
    return ports


def of_bytes(model: Model, workload: Workload) -> dict[int | None, list[Json]]:
    """The filters before bytes are passed on, of each port with chains of its own and (None) of all others."""
    ports: list[int | None] = [*_ports(model, workload), None]
    return {port: authorization.tcp_filters(model, workload, port) for port in ports}


def _chains(model: Model, protocol: str, mode: str, port: int | None, tcp: list[Json]) -> list[Json]:
    """The filter chains of a port, or of all ports that have none of their own; `tcp`: filters of those for bytes."""
    own: Json = {"destination_port": port} if port is not None else {}
    label = str(port) if port is not None else "any"
    found = []
    told = reports.tcp(model, reports.INBOUND)
    mesh = {"transport_protocol": "tls", "application_protocols": [names.ALPN_MESH]}
    if protocol in (api.HTTP, api.HTTP2, api.AUTO):
        chain = _chain(f"{label}-mesh", [_http(model, protocol, mesh=True)], own | mesh)
        found.append(chain | {"transport_socket": tls.downstream(["h2", "http/1.1"])})
    if protocol in (api.TCP, api.TLS, api.AUTO):
        # A port that speaks bytes takes what comes as HTTP by its clients' idea as bytes too.
        offered = [names.ALPN_TCP] if protocol == api.AUTO else [names.ALPN_TCP, names.ALPN_MESH]
        chain = _chain(
            f"{label}-mesh-tcp",
            [*tcp, envoy.tcp("inbound.mesh", INBOUND, **told)],
            own | mesh | {"application_protocols": offered},
        )
        found.append(chain | {"transport_socket": tls.downstream([names.ALPN_TCP])})
    if mode == api.PERMISSIVE:
        raw = {"transport_protocol": "raw_buffer"}
        bytes_ = [*tcp, envoy.tcp("inbound.plain", INBOUND, **told)]
        if protocol in (api.HTTP, api.HTTP2, api.AUTO):
            only = {"application_protocols": _HTTP_PROTOCOLS} if protocol == api.AUTO else {}
            found.append(_chain(f"{label}-plain", [_http(model, protocol, mesh=False)], own | raw | only))
        # Two, for Envoy does not go back: of TLS that no chain of TLS here takes, it asks no chain that names none.
        if protocol not in (api.HTTP, api.HTTP2):
            found.append(_chain(f"{label}-plain-tcp", bytes_, own | raw))
        found.append(_chain(f"{label}-plain-tls", bytes_, own | {"transport_protocol": "tls"}))
    return found


def _chain(name: str, filters: list[Json], match: Json) -> Json:
    return {"name": name, "filter_chain_match": match, "filters": filters}


def _http(model: Model, protocol: str, *, mesh: bool) -> Json:
    """HTTP to the application. Who called is in x-forwarded-client-cert, and only what this proxy itself has seen."""
    cluster = INBOUND_HTTP2 if protocol == api.HTTP2 else INBOUND
    route = {"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s"}}
    caller: Json = {"forward_client_cert_details": "SANITIZE"}
    if mesh:
        caller = {
            "forward_client_cert_details": "SANITIZE_SET",
            "set_current_client_cert_details": {"uri": True},
        }
    hosts = [{"name": "application", "domains": ["*"], "routes": [route]}]
    return envoy.http(
        f"inbound.{'mesh' if mesh else 'plain'}",
        routes={"name": INBOUND, "virtual_hosts": hosts, "request_headers_to_remove": _FORGED},
        filters=authorization.http_filters(),
        # What is decided on is what the application gets.
        normalize_path=True,
        merge_slashes=True,
        **caller,
        **reports.http(model, reports.INBOUND),
    )


def _cluster(name: str) -> Json:
    """To where the connection was going, marked so that the capture rules let it through to the application."""
    return {
        "name": name,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "5s",
        "circuit_breakers": envoy.UNLIMITED,
        "upstream_bind_config": {"socket_options": [envoy.SO_MARK | {"int_value": names.MARK_IN}]},
    }
