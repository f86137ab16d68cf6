"""The containers and volumes that injection adds to a Pod. Pure data.

Both containers are init containers, and come before the Pod's own: capture ends before anything else runs, and the
proxy is a native sidecar (KEP-753: an init container with restartPolicy Always, stable since Kubernetes 1.33): it is
there before the Pod's own init containers, is ended after its last container, and does not keep a Job from completing.
"""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

from labsupport.mesh import names
from labsupport.mesh.inject.asked import ENV, Asked, Object, Settings

GATE_SECONDS = 60  # a proxy that is not ready by then is started again, with an event that says so
# The proxy's user where it needs no capability. No other container should run as it: it could read the proxy's memory.
USER = 1337
TOKEN_SECONDS = 3600  # kubelet renews the token when a fifth of that is left
# Readable for everyone in the containers that mount it, and ours alone do. A stricter mode would need to know the user:
# kubelet itself makes it 0600 or 0640 where all containers have one user, or the Pod has an fsGroup.
MODE = 0o644

# What the containers are known to use, little more. No limits: Envoy's memory grows with the mesh, and a proxy that is
# killed for it takes its Pod's traffic along.
CAPTURE_RESOURCES = {"requests": {"cpu": "10m", "memory": "16Mi"}}
PROXY_RESOURCES = {"requests": {"cpu": "10m", "memory": "40Mi"}}

# The application's containers start only when this has ended (kubelet waits for postStart), so their first request
# finds a proxy that knows its routes. A startupProbe would do the same in steps of whole seconds.
GATE = f"until curl -sf -o /dev/null http://127.0.0.1:{names.PROBES}/ready; do sleep 0.05; done"


def capture_container(asked: Asked, settings: Settings) -> Object:
    """The init container that writes the capture rules into the Pod's network namespace, and ends."""
    return {
        "name": names.CAPTURE_CONTAINER,
        "image": settings.image,
        "command": ["python3", "-m", "labsupport.mesh.proxy.capture"],
        "env": [
            {"name": "MESH_EXCLUDE_INBOUND", "value": _comma(asked.exclude_inbound)},
            {"name": "MESH_EXCLUDE_OUTBOUND", "value": _comma(asked.exclude_outbound)},
        ],
        "resources": CAPTURE_RESOURCES,
        "securityContext": _as_root_with("NET_ADMIN"),
        "terminationMessagePolicy": "FallbackToLogsOnError",  # `kubectl describe` then says why it failed
    }


def proxy_container(asked: Asked, settings: Settings, probes: Object) -> Object:
    """The native sidecar: the helper, and Envoy as its child. `probes` as probes.py returns them."""
    return {
        "name": names.PROXY_CONTAINER,
        "image": settings.image,
        "restartPolicy": "Always",
        "env": [
            _from_pod("POD_NAME", "metadata.name"),
            _from_pod("POD_NAMESPACE", "metadata.namespace"),
            _from_pod("POD_UID", "metadata.uid"),
            _from_pod("POD_IP", "status.podIP"),
            _from_pod("SERVICE_ACCOUNT", "spec.serviceAccountName"),
            {"name": "MESH_CONTROL", "value": settings.control},
            {"name": "MESH_CAPTURE", "value": asked.capture},
            {"name": "MESH_PROBES", "value": _verbatim(json.dumps(probes, sort_keys=True))},
        ],
        "ports": [
            {"name": "mesh-health", "containerPort": names.HEALTH, "protocol": "TCP"},
            {"name": "mesh-metrics", "containerPort": names.METRICS, "protocol": "TCP"},
        ],
        "lifecycle": {"postStart": {"exec": {"command": ["timeout", str(GATE_SECONDS), "sh", "-c", GATE]}}},
        "readinessProbe": {
            "httpGet": {"path": "/healthz/ready", "port": names.HEALTH, "scheme": "HTTP"},
            "periodSeconds": 5,
            "timeoutSeconds": 2,
        },
        "resources": PROXY_RESOURCES,
        "securityContext": _without_rights() if asked.capture == ENV else _as_root_with("NET_RAW"),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": names.STATE_VOLUME, "mountPath": names.STATE},
            {
                "name": names.TOKEN_VOLUME,
                "mountPath": str(PurePosixPath(names.TOKEN_FILE).parent),
                "readOnly": True,
            },
            {"name": names.TRUST_VOLUME, "mountPath": names.TRUST_DIRECTORY, "readOnly": True},
        ],
    }


def volumes() -> list[Object]:
    """The volumes that the proxy mounts, and nobody else.

    The token is a volume of our own and has our audience: it is there also in Pods that ask for no token of the API
    server, and is of no use at the API server.
    """
    token = {
        "audience": names.TOKEN_AUDIENCE,
        "expirationSeconds": TOKEN_SECONDS,
        "path": PurePosixPath(names.TOKEN_FILE).name,
    }
    return [
        {"name": names.STATE_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
        {
            "name": names.TOKEN_VOLUME,
            "projected": {"defaultMode": MODE, "sources": [{"serviceAccountToken": token}]},
        },
        {"name": names.TRUST_VOLUME, "configMap": {"name": names.TRUST_CONFIGMAP, "defaultMode": MODE}},
    ]


def _as_root_with(capability: str) -> Object:
    """Root that can do one thing more than nothing.

    Every field is set here, for a Pod's own securityContext would hold for the rest: as the Pod's user 1000 a container
    has a capability on paper only (it is not effective), and with its runAsNonRoot root would not start.
    """
    return {
        "runAsUser": 0,
        "runAsGroup": 0,
        "runAsNonRoot": False,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": [capability]},
    }


def _without_rights() -> Object:
    """What the Pod Security Standard "restricted" asks for."""
    return {
        "runAsUser": USER,
        "runAsGroup": USER,
        "runAsNonRoot": True,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _from_pod(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def _comma(ports: tuple[int, ...]) -> str:
    return ",".join(map(str, ports))


def _verbatim(value: str) -> str:
    """`value` as kubelet must be told it: $(NAME) would be replaced by a variable's value, and $$ stands for $."""
    return value.replace("$", "$$")


def http_proxy_variables(container: Object) -> list[dict[str, Any]]:
    """The variables that lead a container's HTTP clients to the proxy where nothing is captured.

    What the container sets itself stays, under either spelling. https_proxy is left alone: TLS is not the proxy's to
    open. A program that heeds no such variable goes around the mesh.
    """
    own = f"http://127.0.0.1:{names.HTTP_PROXY}"
    # kubelet puts the address of the API server in place of the name in parentheses.
    around = "localhost,127.0.0.1,::1,kubernetes,kubernetes.default,kubernetes.default.svc,$(KUBERNETES_SERVICE_HOST)"
    present = {each["name"].lower() for each in container.get("env") or ()}
    return [
        {"name": spelling, "value": value}
        for name, value in (("http_proxy", own), ("no_proxy", around))
        if name not in present
        for spelling in (name, name.upper())
    ]
