"""What lab O2 says of a bell that is gone, by what the API server remembers of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from labsupport.course.exercise import checks_of
from labsupport.course.manifest import find_lab

TRUE = {"apiVersion": "labs.example/v1", "kind": "Flock", "name": "meadow", "uid": "5d9c"}
FLOCK = {
    "apiVersion": TRUE["apiVersion"],
    "kind": "Flock",
    "metadata": {"name": "meadow", "uid": "5d9c", "resourceVersion": "7"},
}


@pytest.mark.parametrize(
    ("references", "finding"),
    [
        ([{**TRUE, "name": "meadows"}], "wrong-owner"),
        ([{**TRUE, "kind": "Herd"}], "wrong-owner"),
        ([{**TRUE, "apiVersion": "labs.example/v2"}], "wrong-owner"),
        ([{**TRUE, "uid": "0b4f"}], "wrong-uid"),
        ([{**TRUE, "uid": "0b4f", "name": "meadows"}], "wrong-uid"),
        ([TRUE], "deleted"),
        ([], "deleted"),
        (None, "deleted"),
    ],
)
def test_a_bell_that_is_gone_is_told_by_its_last_owner_reference(
    monkeypatch: pytest.MonkeyPatch, references: Any, finding: str
) -> None:
    owners = checks_of(find_lab("o2"))["o2-owners"]
    metadata = {"name": "bell", "namespace": "meadows-own", "ownerReferences": references}

    def since(probe: Any, flock: Any) -> Iterator[dict[str, Any]]:
        yield {"metadata": {**metadata, "ownerReferences": []}}
        yield {"metadata": metadata}

    monkeypatch.setattr(sys.modules[owners.__module__], "_since", since)
    probe = SimpleNamespace(
        world=SimpleNamespace(group="labs.example"),
        namespace="meadows-own",
        get=lambda version, kind, name: FLOCK if kind == "Flock" else None,
    )
    outcome = owners(probe)  # type: ignore[arg-type]
    assert outcome.diagnostic == f"o2-owners/{finding}"
