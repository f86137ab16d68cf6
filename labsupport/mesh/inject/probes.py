"""Probes that keep their meaning behind a capturing proxy. Pure.

kubelet probes a Pod from outside, without a certificate: under strict mTLS the proxy would refuse it, and a tcpSocket
probe would always pass, as the proxy accepts before it knows whether the application does. So each such probe is
rewritten to ask the helper beside Envoy, at a port that is not captured, and the helper does the real check from
inside. No address is trusted for it: what comes through NodePorts comes from the same one as kubelet's probes.

exec probes stay: they run inside. So do those that name a host, which are about something else than this Pod.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from labsupport.mesh import names
from labsupport.mesh.inject.asked import Object

KINDS = ("readiness", "liveness", "startup")
HOOKS = ("postStart", "preStop")
HANDLERS = ("httpGet", "tcpSocket", "grpc")
HOOK_SECONDS = 30  # for a hook's request, to which Kubernetes itself gives as long as the Pod has to end


@dataclass
class Rewritten:
    """JSON Patch operations, and what the helper must know: "CONTAINER/KIND" -> the real check."""

    operations: list[Object] = field(default_factory=list)
    originals: dict[str, Object] = field(default_factory=dict)


def rewrite(spec: Object) -> Rewritten:
    """Rewrite all probes and HTTP hooks of a Pod's spec. Paths are those of the spec as it is given."""
    done = Rewritten()
    for place in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(place) or ()):
            path = f"/spec/{place}/{index}"
            for kind in KINDS:
                if probe := container.get(f"{kind}Probe"):
                    _probe(done, container, kind, probe, f"{path}/{kind}Probe")
            for hook in HOOKS:
                if handler := (container.get("lifecycle") or {}).get(hook):
                    _hook(done, container, hook, handler, f"{path}/lifecycle/{hook}")
    return done


def _probe(done: Rewritten, container: Object, kind: str, probe: Object, path: str) -> None:
    check = _check(container, probe)
    if check is None:
        return
    seconds = probe.get("timeoutSeconds") or 1
    done.originals[f"{container['name']}/{kind}"] = {**check, "timeoutSeconds": seconds}
    rest = {key: value for key, value in probe.items() if key not in HANDLERS}
    # kubelet waits longer than the helper, so that it hears the helper's reason and not its own impatience.
    value = {**rest, "httpGet": _at_helper(container, kind), "timeoutSeconds": seconds + 1}
    done.operations.append({"op": "replace", "path": path, "value": value})


def _hook(done: Rewritten, container: Object, hook: str, handler: Object, path: str) -> None:
    if "httpGet" not in handler:
        return  # exec and sleep stay, and tcpSocket was never implemented by kubelet
    check = _check(container, handler)
    if check is None:
        return
    done.originals[f"{container['name']}/{hook}"] = {**check, "timeoutSeconds": HOOK_SECONDS}
    done.operations.append({"op": "replace", "path": path, "value": {"httpGet": _at_helper(container, hook)}})


def _at_helper(container: Object, kind: str) -> Object:
    return {"path": f"/probes/{container['name']}/{kind}", "port": names.PROBES, "scheme": "HTTP"}


def _check(container: Object, handlers: Object) -> Object | None:
    """The handler that the helper takes over, its port a number; None where kubelet keeps it."""
    for name in HANDLERS:
        handler = handlers.get(name)
        if handler is None or handler.get("host"):
            continue
        port = _number(container, handler.get("port"))
        # A port of an unknown name fails at kubelet, whose event says so better than we could.
        return None if port is None else {name: {**handler, "port": port}}
    return None


def _number(container: Object, port: Any) -> int | None:
    """A port by number, or by the name that the container gives it (IntOrString, as kubelet reads it)."""
    if isinstance(port, int):
        return port
    for each in container.get("ports") or ():
        if each.get("name") == port:
            return int(each["containerPort"])
    return int(port) if isinstance(port, str) and port.isdecimal() else None
