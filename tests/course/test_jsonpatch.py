"""JSON Patch, with the cases of RFC 6902 and of RFC 6901 that matter in Pods."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.course.lessons.jsonpatch import Refused, applied


@pytest.mark.parametrize(
    ("operation", "wanted"),
    [
        ({"op": "add", "path": "/c", "value": 1}, {"a": [1, 2], "b": {"x/y": 3}, "c": 1}),
        ({"op": "add", "path": "/a/0", "value": 0}, {"a": [0, 1, 2], "b": {"x/y": 3}}),
        ({"op": "add", "path": "/a/-", "value": 3}, {"a": [1, 2, 3], "b": {"x/y": 3}}),
        ({"op": "add", "path": "/a", "value": []}, {"a": [], "b": {"x/y": 3}}),
        ({"op": "add", "path": "/b/m~0n", "value": 4}, {"a": [1, 2], "b": {"x/y": 3, "m~n": 4}}),
        ({"op": "replace", "path": "/b/x~1y", "value": 4}, {"a": [1, 2], "b": {"x/y": 4}}),
        ({"op": "remove", "path": "/a/1"}, {"a": [1], "b": {"x/y": 3}}),
        ({"op": "move", "from": "/a/1", "path": "/a/0"}, {"a": [2, 1], "b": {"x/y": 3}}),
        ({"op": "copy", "from": "/b", "path": "/c"}, {"a": [1, 2], "b": {"x/y": 3}, "c": {"x/y": 3}}),
        ({"op": "test", "path": "/a/0", "value": 1}, {"a": [1, 2], "b": {"x/y": 3}}),
        ({"op": "replace", "path": "", "value": 5}, 5),
    ],
)
def test_operations_do_what_the_rfc_says(operation: dict[str, Any], wanted: Any) -> None:
    document = {"a": [1, 2], "b": {"x/y": 3}}
    assert applied(document, [operation]) == wanted
    assert document == {"a": [1, 2], "b": {"x/y": 3}}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/none/-", "value": 1},
        {"op": "add", "path": "/b/x/y", "value": 1},
        {"op": "add", "path": "/a/9", "value": 1},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/c"},
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "remove", "path": "/none"},
        {"op": "test", "path": "/a/0", "value": 2},
        {"op": "set", "path": "/a", "value": 2},
        "add",
    ],
)
def test_what_cannot_be_applied_is_refused(operation: Any) -> None:
    with pytest.raises(Refused, match="operation 0"):
        applied({"a": [1, 2], "b": {"x/y": 3}}, [operation])


def test_each_operation_sees_what_those_before_it_did() -> None:
    operations = [
        {"op": "add", "path": "/a", "value": []},
        *({"op": "add", "path": "/a/0", "value": number} for number in range(3)),
    ]
    assert applied({}, operations) == {"a": [2, 1, 0]}
