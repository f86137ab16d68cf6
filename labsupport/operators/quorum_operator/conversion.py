"""Quorums between v1beta1 and v1, both ways and without loss. Pure; `webhook.py` serves it.

v1beta1           v1
spec.replicas     spec.size
spec.version      spec.release
spec.threshold    spec.threshold, which may be left out: then v1beta1 shows the majority that it means, and an
                  annotation remembers that nobody wrote it
"""

from __future__ import annotations

import copy
from typing import Any

from labsupport.operators.quorum_operator import names

Object = dict[str, Any]
IMPLIED = f"{names.GROUP}/implied-threshold"  # annotation of a v1beta1: the threshold that nobody wrote
RENAMED = {"replicas": "size", "version": "release"}


def convert(found: Object, wanted: str) -> Object:
    """`found` in the apiVersion `wanted`. Errors: ValueError where one of the two is not known."""
    have = found.get("apiVersion", "")
    new, old = f"{names.GROUP}/{names.VERSION}", f"{names.GROUP}/{names.OLD_VERSION}"
    if have == wanted:
        return copy.deepcopy(found)
    if {have, wanted} != {new, old}:
        raise ValueError(f"{have!r} cannot be made {wanted!r}: {old} and {new} are known")
    made = copy.deepcopy(found)
    made["apiVersion"] = wanted
    if wanted == new:
        _to_new(made)
    else:
        _to_old(made)
    return made


def _to_new(made: Object) -> None:
    spec = made.get("spec") or {}
    annotations = (made.get("metadata") or {}).get("annotations") or {}
    implied = annotations.pop(IMPLIED, None)
    # Only if it still is what the annotation is about: a user may have changed threshold or size since.
    if implied is not None and implied == f"{spec.get('threshold')}/{spec.get('replicas')}":
        spec.pop("threshold")
    _rename(spec, RENAMED)
    if implied is not None and not annotations:
        made["metadata"].pop("annotations")


def _to_old(made: Object) -> None:
    spec = made.get("spec") or {}
    _rename(spec, {new: old for old, new in RENAMED.items()})
    if "threshold" not in spec and isinstance(spec.get("replicas"), int):
        spec["threshold"] = spec["replicas"] // 2 + 1
        annotations = made.setdefault("metadata", {}).setdefault("annotations", {})
        annotations[IMPLIED] = f"{spec['threshold']}/{spec['replicas']}"


def _rename(spec: Object, keys: dict[str, str]) -> None:
    for old, new in keys.items():
        if old in spec:
            spec[new] = spec.pop(old)


def review(asked: Object) -> Object:
    """The answer to a ConversionReview (apiextensions.k8s.io/v1). Errors: KeyError, TypeError where it is none."""
    request = asked["request"]
    response: Object = {"uid": request["uid"], "result": {"status": "Success"}}
    try:
        response["convertedObjects"] = [
            convert(each, request["desiredAPIVersion"]) for each in request["objects"]
        ]
    except (ValueError, AttributeError) as error:
        response["result"] = {"status": "Failure", "message": str(error)}
    return {"apiVersion": asked["apiVersion"], "kind": "ConversionReview", "response": response}
