"""JSON Patch (RFC 6902) as the API server applies it to an object: all operations, or none and a reason."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

NEEDS = {
    "add": ("path", "value"),
    "replace": ("path", "value"),
    "test": ("path", "value"),
    "remove": ("path",),
    "move": ("path", "from"),
    "copy": ("path", "from"),
}


class Refused(Exception):
    """The patch cannot be applied; the text says which operation, and why."""


def applied(document: Any, operations: Sequence[Any]) -> Any:
    """A copy of `document` after `operations`. Errors: Refused."""
    root = {"": copy.deepcopy(document)}  # so that the path "" has a parent like all others
    for number, operation in enumerate(operations):
        try:
            _apply(root, operation)
        except Refused as refused:
            raise Refused(f"operation {number}: {refused}") from None
    return root[""]


def _apply(root: dict[str, Any], operation: Any) -> None:
    if not isinstance(operation, Mapping):
        raise Refused(f"it is no dictionary but {type(operation).__name__}")
    name = operation.get("op")
    if name not in NEEDS:
        raise Refused(f"there is no op {name!r}")
    for key in NEEDS[name]:
        if key not in operation:
            raise Refused(f"{name} needs {key!r}")
    path = operation["path"]
    if name in ("move", "copy"):
        value = copy.deepcopy(_found(root, operation["from"]))
        if name == "move":
            _remove(root, operation["from"])
        _add(root, path, value)
    elif name == "add":
        _add(root, path, copy.deepcopy(operation["value"]))
    elif name == "remove":
        _remove(root, path)
    elif name == "replace":
        _found(root, path)
        _remove(root, path)
        _add(root, path, copy.deepcopy(operation["value"]))
    elif _found(root, path) != operation["value"]:
        raise Refused(f"test: what is at {path} is another value")


def _parts(path: Any) -> list[str]:
    """The reference tokens of a JSON Pointer (RFC 6901), with the empty one of the whole document first."""
    if not isinstance(path, str) or (path and not path.startswith("/")):
        raise Refused(f"{path!r} is no path: one begins with /")
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")]


def _parent(root: dict[str, Any], path: Any) -> tuple[Any, str]:
    here: Any = root
    *way, last = _parts(path)
    for part in way:
        here = _child(here, part, path)
    return here, last


def _child(here: Any, part: str, path: Any) -> Any:
    if isinstance(here, dict) and part in here:
        return here[part]
    if isinstance(here, list) and part.isdecimal() and int(part) < len(here):
        return here[int(part)]
    raise Refused(f"there is no {part or path!r} on the way of the path {path}")


def _found(root: dict[str, Any], path: Any) -> Any:
    here, last = _parent(root, path)
    return _child(here, last, path)


def _add(root: dict[str, Any], path: Any, value: Any) -> None:
    here, last = _parent(root, path)
    if isinstance(here, dict):
        here[last] = value
    elif isinstance(here, list) and last == "-":
        here.append(value)
    elif isinstance(here, list) and last.isdecimal() and int(last) <= len(here):
        here.insert(int(last), value)
    else:
        raise Refused(f"nothing can be added at the path {path}")


def _remove(root: dict[str, Any], path: Any) -> None:
    here, last = _parent(root, path)
    _child(here, last, path)
    if isinstance(here, dict):
        del here[last]
    else:
        del here[int(last)]
