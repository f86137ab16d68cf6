"""The heart of injection: a Pod in, JSON Patch operations (RFC 6902) out. Pure.

Operations are applied in their order, and each sees what those before it did. So what concerns the Pod's own
containers comes first, while they still have the places (indices) that they came with; ours then move them.
"""

from __future__ import annotations

from typing import Any

from labsupport.mesh import names
from labsupport.mesh.inject import containers, marks, probes
from labsupport.mesh.inject.asked import ENV, BadPod, Object, Settings, asked_of, reason_to_leave


def patch(pod: Object, namespace: str, settings: Settings) -> list[Object]:
    """The operations that give `pod`, about to be created in `namespace`, its proxy; [] if it gets none or has one.

    Errors: BadPod where the Pod asks for what cannot be, in words for whoever made it.
    """
    if reason_to_leave(pod, namespace):
        return []
    asked = asked_of(pod, settings)
    _refuse_taken_names(pod)
    spec = pod["spec"]
    if asked.capture == ENV:
        # kubelet reaches the containers as ever: their probes need nothing.
        operations = _lead_to_proxy(spec)
        first = [containers.proxy_container(asked, settings, {})]
    else:
        rewritten = probes.rewrite(spec)
        operations = [*rewritten.operations, *marks.without_mark(spec)]
        first = [
            containers.capture_container(asked, settings),
            containers.proxy_container(asked, settings, rewritten.originals),
        ]
    operations += _insert("/spec/initContainers", spec.get("initContainers"), first)
    operations += _append("/spec/volumes", spec.get("volumes"), containers.volumes())
    operations += _set("/metadata/labels", pod["metadata"].get("labels"), names.PROXY, asked.capture)
    if settings.revision:
        annotations = pod["metadata"].get("annotations")
        operations += _set("/metadata/annotations", annotations, names.REVISION, settings.revision)
    return operations


def _refuse_taken_names(pod: Object) -> None:
    """Names within a Pod are unique; the API server would say of ours only that they are there twice."""
    spec = pod["spec"]
    ours = {names.PROXY_CONTAINER, names.CAPTURE_CONTAINER}
    for each in [*(spec.get("initContainers") or ()), *spec["containers"]]:
        if each["name"] in ours:
            raise BadPod(f"its container {each['name']} has a name that is the mesh's: choose another")
    ours = {each["name"] for each in containers.volumes()}
    for each in spec.get("volumes") or ():
        if each["name"] in ours:
            raise BadPod(f"its volume {each['name']} has a name that is the mesh's: choose another")


def _lead_to_proxy(spec: Object) -> list[Object]:
    """Operations that give the Pod's own containers the variables for an explicit proxy."""
    return [
        operation
        for place in ("initContainers", "containers")
        for index, container in enumerate(spec.get(place) or ())
        for operation in _append(
            f"/spec/{place}/{index}/env",
            container.get("env"),
            containers.http_proxy_variables(container),
        )
    ]


# RFC 6902 adds to a list that is there, and to no other: where the Pod has none, it is added as a whole.
def _insert(path: str, present: list[Any] | None, values: list[Any]) -> list[Object]:
    """Operations that put `values` before a list's first element."""
    if not present:
        return [{"op": "add", "path": path, "value": values}]
    return [{"op": "add", "path": f"{path}/{index}", "value": value} for index, value in enumerate(values)]


def _append(path: str, present: list[Any] | None, values: list[Any]) -> list[Object]:
    """Operations that put `values` behind a list's last element ("-")."""
    if not values:
        return []
    if not present:
        return [{"op": "add", "path": path, "value": values}]
    return [{"op": "add", "path": f"{path}/-", "value": value} for value in values]


def _set(path: str, present: Object | None, key: str, value: str) -> list[Object]:
    """Operations that set one key of a map. In a path "/" separates, so it is written ~1 (RFC 6901)."""
    if not present:
        return [{"op": "add", "path": path, "value": {key: value}}]
    return [{"op": "add", "path": f"{path}/{key.replace('~', '~0').replace('/', '~1')}", "value": value}]
