"""What is made for a Gateway: ServiceAccount, Service, Deployment. Pure data.

All three have the name GATEWAY-labs-mesh and the Gateway as their owner, so that they go with it (GEP-1762). Policies
name the identity NAMESPACE/GATEWAY-labs-mesh.
"""

from __future__ import annotations

from typing import Any

from labsupport.mesh import gateways, names
from labsupport.mesh.api import Object
from labsupport.mesh.gateways import Gateway
from labsupport.mesh.inject import asked, containers

KINDS = (("v1", "ServiceAccount"), ("v1", "Service"), ("apps/v1", "Deployment"))
# Seconds that a Pod goes on after it was told to end: new connections still come until every node has heard of it.
LAME = 3


def owner(found: Object) -> Object:
    """The ownerReference to a Gateway as it is stored. It blocks nothing: that would need rights on finalizers."""
    metadata = found["metadata"]
    return {
        "apiVersion": found["apiVersion"],
        "kind": "Gateway",
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
    }


def documents(found: Object, revision: str) -> list[Object]:
    """The objects for a Gateway as it is stored; another `revision` (inject/revision.py) means new Pods."""
    gateway = gateways.gateway(found)
    made = gateways.service_of(gateway.name)
    said = found["spec"].get("infrastructure") or {}
    own = {"labs.example/part-of": "course", names.GATEWAY_LABEL: gateway.name.name}
    metadata: Object = {
        "name": made.name,
        "namespace": made.namespace,
        "labels": {**(said.get("labels") or {}), **own},
        "annotations": dict(said.get("annotations") or {}),
        "ownerReferences": [owner(found)],
    }
    service = {"type": "ClusterIP", "selector": _selector(gateway), "ports": _ports(gateway)}
    labels = {**metadata["labels"], **_selector(gateway)}
    annotations = {**metadata["annotations"], names.INJECT: "false", names.REVISION: revision}
    template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": _pod(gateway, made.name)}
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    # How many is left to whoever scales it: what is not said here is not set back.
    deployment = {"selector": {"matchLabels": _selector(gateway)}, "strategy": strategy, "template": template}
    bodies: list[Object] = [{"automountServiceAccountToken": False}, {"spec": service}, {"spec": deployment}]
    return [
        {"apiVersion": version, "kind": kind, "metadata": metadata, **body}
        for (version, kind), body in zip(KINDS, bodies, strict=True)
    ]


def _selector(gateway: Gateway) -> dict[str, str]:
    return {names.PROXY: names.GATEWAY_PROXY, names.GATEWAY_LABEL: gateway.name.name}


def _ports(gateway: Gateway) -> list[Object]:
    """The Service's ports; a port that several listeners have is one."""
    found = {each.port: (each.protocol.lower(), each.target) for each in gateways.served(gateway)}
    return [
        {"name": f"{kind}-{port}", "port": port, "targetPort": target, "appProtocol": kind, "protocol": "TCP"}
        for port, (kind, target) in sorted(found.items())
    ]


def _pod(gateway: Gateway, account: str) -> Object:
    # As beside an application that is not captured: no right at all, and the same way to a certificate.
    container: dict[str, Any] = containers.proxy_container(asked.Asked(asked.ENV), asked.Settings(), {})
    del container["restartPolicy"]
    for each in container["env"]:
        if each["name"] == "MESH_CAPTURE":
            each["value"] = names.GATEWAY_PROXY
    container["lifecycle"] = {"preStop": {"sleep": {"seconds": LAME}}}
    container["readinessProbe"] |= {"periodSeconds": 1}
    return {
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": containers.volumes(),
    }
