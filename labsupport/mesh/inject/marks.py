"""Who beside the proxy may set its socket mark, and so pass by it (SO_MARK, socket(7): NET_ADMIN, or NET_RAW).

A container of Kubernetes has NET_RAW unless it is taken. Injection takes it from every one that does not ask for it by
name, and admission says of the others what that means.
"""

from __future__ import annotations

from labsupport.mesh.inject.asked import Object

_ALL, _RAW, _ADMIN = "ALL", "NET_RAW", "NET_ADMIN"


def without_mark(spec: Object) -> list[Object]:
    """Operations that take NET_RAW from a Pod's own containers, but for those that ask for it."""
    return [
        operation
        for place in ("initContainers", "containers")
        for index, container in enumerate(spec.get(place) or ())
        for operation in _dropped(f"/spec/{place}/{index}/securityContext", container)
    ]


def _dropped(path: str, container: Object) -> list[Object]:
    context = container.get("securityContext") or {}
    capabilities = context.get("capabilities") or {}
    dropped = capabilities.get("drop") or []
    if keeps(container) or {_ALL, _RAW} & set(map(_name, dropped)):
        return []
    if not context:
        return [{"op": "add", "path": path, "value": {"capabilities": {"drop": [_RAW]}}}]
    if not capabilities:
        return [{"op": "add", "path": f"{path}/capabilities", "value": {"drop": [_RAW]}}]
    if not dropped:
        return [{"op": "add", "path": f"{path}/capabilities/drop", "value": [_RAW]}]
    return [{"op": "add", "path": f"{path}/capabilities/drop/-", "value": _RAW}]


def warnings(pod: Object) -> list[str]:
    """What is said to whoever makes a Pod with containers that can pass by their proxy."""
    spec = pod["spec"]
    found = []
    for each in [*(spec.get("initContainers") or ()), *spec["containers"]]:
        if why := keeps(each):
            name = each["name"]
            found.append(
                f"the container {name} {why}: it can set the mark that the proxy's connections have, and so call "
                "anyone past its proxy; what governs its calls there does not hold for it"
            )
    return found


def keeps(container: Object) -> str:
    """Why a container can set marks, as half a sentence; "" if it cannot once NET_RAW is taken."""
    context = container.get("securityContext") or {}
    if context.get("privileged"):
        return "is privileged"
    asked = set(map(_name, (context.get("capabilities") or {}).get("add") or ()))
    held = [each for each in (_ALL, _ADMIN, _RAW) if each in asked]
    return f"asks for {held[0]}" if held else ""


def _name(capability: str) -> str:
    return capability.upper().removeprefix("CAP_")
