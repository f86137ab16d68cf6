"""The control plane keeps its roots in the namespaces of the mesh, whoever removes them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from labsupport.mesh import __main__ as program
from labsupport.mesh.names import INJECT, TRUST_CONFIGMAP

put: list[str] = []


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> Any:
    put.clear()
    monkeypatch.setattr(program.trust, "ensure", lambda api, namespace, roots: put.append(namespace))
    made = program.ControlPlane.__new__(program.ControlPlane)
    made.api, made.members, made.trusting = None, set(), {}  # type: ignore[assignment]
    made.authority = SimpleNamespace(roots_pem="roots")  # type: ignore[assignment]
    made.control = SimpleNamespace(told=lambda found, gone: None)  # type: ignore[assignment]
    return made


def namespace(**labels: str) -> dict[str, Any]:
    return {"metadata": {"name": "shop", "labels": labels}}


ROOTS = {"metadata": {"name": TRUST_CONFIGMAP, "namespace": "shop"}}


def test_roots_that_were_removed_are_put_back_in_a_namespace_of_the_mesh(plane: Any) -> None:
    plane.told_namespace(namespace(**{INJECT: "true"}), False)
    plane.told_trust(ROOTS, False)
    assert put == ["shop"]
    plane.told_trust(ROOTS, True)
    assert put == ["shop", "shop"]


def test_a_namespace_that_left_the_mesh_gets_them_with_its_next_pod_only(plane: Any) -> None:
    plane.told_namespace(namespace(**{INJECT: "true"}), False)
    plane.told_namespace(namespace(**{INJECT: "false"}), False)
    plane.told_trust(ROOTS, True)
    assert put == ["shop"]
    plane.ensure_trust("shop")
    assert put == ["shop", "shop"]
