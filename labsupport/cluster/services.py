"""From a Service to the address that leads to it inside a node, on every back end."""

from __future__ import annotations

from pathlib import Path

from labsupport import kube
from labsupport.errors import LabsError


def service_target(kubeconfig: Path, service: str, namespace: str, port: int | None) -> str:
    """ "address:port" of a Service's cluster IP; `port` may be left out where the Service has only one.

    Raises LabsError where there is no such Service, it has no cluster IP (headless, ExternalName), or no such port.
    """
    found = kube.get(kube.connect(kubeconfig), "v1", "Service", service, namespace)
    if found is None:
        raise LabsError(
            f"There is no Service {service!r} in namespace {namespace!r}.",
            fix=f"`labs kubectl -n {namespace} get services` lists those that there are; -n names another namespace",
        )
    address = found["spec"].get("clusterIP", "")
    if address in ("", "None"):
        raise LabsError(
            f"Service {service!r} has no cluster IP (it is headless or an ExternalName).",
            fix=f"`labs kubectl -n {namespace} port-forward` reaches one of its Pods",
        )
    tcp = [entry["port"] for entry in found["spec"].get("ports", []) if entry.get("protocol", "TCP") == "TCP"]
    if port is None and len(tcp) == 1:
        port = tcp[0]
    if port not in tcp:
        asked = "say which with --port" if port is None else f"it has no TCP port {port}"
        raise LabsError(
            f"Service {service!r} has the TCP ports {tcp}: {asked}.", fix="labs url SERVICE --port PORT"
        )
    return f"{address}:{port}"
