"""The work of a shepherd, as lab O2 had it written: a Flock's sheep brought into order, from whatever state.

Lab O3 gives this to handlers of a framework, of which two may run at the same time: what another run has done a moment
before is no error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api


def wanted_sheep(flock: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The sheep that a Flock wants: name -> ConfigMap."""
    meta = flock["metadata"]
    owner = {"apiVersion": flock["apiVersion"], "kind": "Flock", "name": meta["name"], "uid": meta["uid"]}
    metadata = {"labels": {"flock": meta["name"]}, "ownerReferences": [owner | {"controller": True}]}
    data = {"colour": flock["spec"]["colour"]}
    names = [f"{meta['name']}-{number}" for number in range(flock["spec"]["size"])]
    return {name: {"metadata": metadata | {"name": name}, "data": data} for name in names}


def bring_into_order(core: CoreV1Api, flock: Mapping[str, Any]) -> int:
    """Make, mend and remove what differs from what the Flock wants; returns how many sheep there are then.

    Writes nothing where nothing is to be done. Errors: ApiException for a request that was refused.
    """
    namespace, wanted = flock["metadata"]["namespace"], wanted_sheep(flock)
    there: dict[str, Any] = {each.metadata.name: each for each in _config_maps(core, namespace)}
    for name, sheep in wanted.items():
        if name not in there:
            _unless(409, core.create_namespaced_config_map, namespace, sheep)
        elif not _right(there[name], sheep):
            _unless(404, core.patch_namespaced_config_map, name, namespace, sheep)
    for name, each in there.items():
        owners = each.metadata.owner_references or []
        mine = any(own.uid == flock["metadata"]["uid"] and own.controller for own in owners)
        if mine and name not in wanted:
            _unless(404, core.delete_namespaced_config_map, name, namespace)
    return len(wanted)


def _config_maps(core: CoreV1Api, namespace: str) -> list[Any]:
    # Not as V1ConfigMap: in that type everything may be None, also what a stored object always has.
    return list(core.list_namespaced_config_map(namespace).items)


def _right(there: Any, sheep: dict[str, Any]) -> bool:
    owners = [each.uid for each in there.metadata.owner_references or [] if each.controller]
    return (
        (there.data or {}).get("colour") == sheep["data"]["colour"]
        and (there.metadata.labels or {}).get("flock") == sheep["metadata"]["labels"]["flock"]
        and owners == [sheep["metadata"]["ownerReferences"][0]["uid"]]
    )


def _unless(status: int, write: Callable[..., Any], *arguments: Any) -> None:
    """A write that another run may have made unnecessary: then it is answered with `status`."""
    from kubernetes.client import ApiException

    try:
        write(*arguments)
    except ApiException as error:
        if error.status != status:
            raise
