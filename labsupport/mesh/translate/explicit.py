"""For Pods that are not captured (capture mode `env`): an HTTP proxy on their loopback that `http_proxy` leads to.

It knows Services by name, with the same routes, clusters and mTLS; what is no Service is looked up in DNS. One route
configuration for each namespace with such a Pod, since names are short within a namespace.
"""

from __future__ import annotations

from labsupport.mesh import egress as policies
from labsupport.mesh import names
from labsupport.mesh.api import Name, Port
from labsupport.mesh.model import Model
from labsupport.mesh.translate import egress, envoy, reports, routes
from labsupport.mesh.translate.envoy import Json
from labsupport.mesh.translate.resource import Key, Resource, of_explicit
from labsupport.mesh.translate.services import speaks_http

EXPLICIT = "explicit"
DOMAIN = "cluster.local"


def translate(model: Model, namespace: str) -> list[Resource]:
    """The listener, its routes, and the cluster for what is no Service; nothing where no Pod asks for it."""
    if not model.explicit[namespace]:
        return []
    scope = of_explicit(namespace)
    sources = tuple(sorted(model.routes))
    return [
        Resource(Key(envoy.CLUSTER, scope, egress.FORWARD), egress.forward()),
        Resource(Key(envoy.LISTENER, scope, EXPLICIT), listener(model)),
        Resource(Key(envoy.ROUTES, scope, EXPLICIT), configuration(model, namespace), sources),
    ]


def listener(model: Model) -> Json:
    """The proxy on loopback."""
    told = reports.http(model, reports.OUTBOUND)
    manager = envoy.http(EXPLICIT, rds=EXPLICIT, filters=[*envoy.governed(), egress.http_filter()], **told)
    return {
        "name": EXPLICIT,
        "address": envoy.address("127.0.0.1", names.HTTP_PROXY),
        "traffic_direction": "OUTBOUND",
        "filter_chains": [{"filters": [manager]}],
    }


def configuration(model: Model, namespace: str) -> Json:
    """A virtual host for each port of each Service, and one for everything else."""
    hosts = []
    for name in sorted(model.services):
        for port in model.services[name].ports:
            if speaks_http(port):
                attached = routes.attached_routes(model, name, port)
                used = routes.of(attached, namespace) or routes.of(attached, name.namespace)
                (host,) = routes.configuration(model, name, port, used)["virtual_hosts"]
                hosts.append({**host, "domains": domains(name, port, namespace)})
    policy = policies.of(model, namespace)
    return {"name": EXPLICIT, "virtual_hosts": [*hosts, *egress.virtual_hosts(policy, policy.sniffed)]}


def domains(name: Name, port: Port, namespace: str) -> list[str]:
    """What a Pod of `namespace` calls a port of a Service.

    https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
    """
    known = [f"{name.name}.{name.namespace}{end}" for end in ("", ".svc", f".svc.{DOMAIN}")]
    if name.namespace == namespace:
        known.insert(0, name.name)
    return [*(f"{each}:{port.number}" for each in known), *(known if port.number == 80 else ())]
