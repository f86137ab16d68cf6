"""Which objects are a lab's, told by name and label."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.course.manifest import Lab
from labsupport.course.worlds.ownership import Ownership, expand, labels_of, learner, namespace_of, ownership
from labsupport.errors import LabsError
from labsupport.kube.kinds import Kind

LAB = Lab.model_validate({"id": "M1", "title": "M", "notebook": "m", "minutes": 1, "exercises": []})
OURS = Ownership("lab-", "", frozenset({"m1", "m1-b", "o1"}))
COURSE = {"labs.example/part-of": "course"}


def kind(name: str, group: str = "", *, namespaced: bool = False) -> Kind:
    api_version = f"{group}/v1" if group else "v1"
    return Kind(api_version, f"{name.lower()}s", namespaced, name, frozenset({"list", "delete"}))


@pytest.fixture(autouse=True)
def no_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABS_LEARNER", raising=False)


def test_names_begin_with_the_learners(monkeypatch: pytest.MonkeyPatch) -> None:
    assert namespace_of(LAB) == "lab-m1"
    assert "labs.example/learner" not in labels_of(LAB)
    monkeypatch.setenv("LABS_LEARNER", "bob")
    assert namespace_of(LAB) == "bob-lab-m1"
    assert labels_of(LAB)["labs.example/learner"] == "bob"
    assert ownership(LAB).lab_of("bob-lab-m1-x") == "m1"
    assert ownership(LAB).lab_of("lab-m1-x") == ""


@pytest.mark.parametrize("name", ["Bob", "-bob", "bob-", "b" * 21, "bob-lab", "lab", "bob-lab-o1", "b.o"])
def test_a_learner_whose_names_could_be_mistaken_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABS_LEARNER", name)
    with pytest.raises(LabsError):
        learner()


def test_names_are_filled_in_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "{namespace} {group} {name:a.b-c} {other} {{x}} {name:} {} {Namespace}"
    filled = "lab-m1 lab-m1.labs.example lab-m1-a.b-c {other} {{x}} {name:} {} {Namespace}"
    assert expand(LAB, text) == filled
    monkeypatch.setenv("LABS_LEARNER", "bob")
    assert expand(LAB, "{name:x} {group}") == "bob-lab-m1-x bob-lab-m1.labs.example"


@pytest.mark.parametrize(
    ("name", "labels", "lab"),
    [
        ("lab-m1", {}, "m1"),
        ("lab-m1-reader", {}, "m1"),
        ("lab-m1-b-reader", {}, "m1-b"),
        ("lab-m10-reader", {}, ""),
        ("lab-gone-x", {}, ""),
        ("lab-gone-x", COURSE, "gone"),
        ("my-lab-m1", {}, ""),
        ("bob-lab-m1-reader", COURSE, ""),
        ("labs-system", COURSE, ""),
        ("quorum-member:lab-m1:q", COURSE, "m1"),
        ("quorum-member:bob-lab-m1:q", COURSE, ""),
        ("lab-m1:q", {}, ""),
    ],
)
def test_names(name: str, labels: dict[str, str], lab: str) -> None:
    role = kind("ClusterRole", "rbac.authorization.k8s.io")
    assert OURS.lab_of_object(role, {"name": name, "labels": labels}, {}) == lab


def test_a_namespace_needs_the_label() -> None:
    assert OURS.lab_of_namespace({"name": "lab-m1"}) == ""
    assert OURS.lab_of_namespace({"name": "lab-m1", "labels": COURSE}) == "m1"
    assert OURS.lab_of_namespace({"name": "else", "labels": COURSE}) == ""


@pytest.mark.parametrize(
    ("group", "lab"),
    [
        ("lab-o1.labs.example", "o1"),
        ("v2.lab-o1.labs.example", "o1"),
        ("labs.example", ""),
        ("mesh.labs.example", ""),
        ("lab-o1.labs.example.org", ""),
        ("lab-o1-x.labs.example", ""),
        ("bob-lab-o1.labs.example", ""),
        ("", ""),
    ],
)
def test_groups(group: str, lab: str) -> None:
    assert OURS.lab_of_group(group) == lab
    crd = kind("CustomResourceDefinition", "apiextensions.k8s.io")
    assert OURS.lab_of_object(crd, {"name": f"widgets.{group}"}, {}) == lab
    assert OURS.lab_of_object(kind("Widget", group), {"name": "any"}, {}) == lab


def test_objects_in_namespaces() -> None:
    config = kind("ConfigMap", namespaced=True)

    def lab_of(**metadata: Any) -> str:
        return OURS.lab_of_object(config, {"name": "lab-m1-x", **metadata}, {"lab-o1": "o1"})

    assert lab_of(namespace="lab-o1") == "o1"
    assert lab_of(namespace="default") == ""
    assert lab_of(namespace="default", labels=COURSE) == ""
    mine = COURSE | {"labs.example/lab": "m1"}
    assert lab_of(namespace="default", labels=mine) == "m1"
    assert lab_of(namespace="default", labels=mine | {"labs.example/learner": "bob"}) == ""


def test_machines_and_automatic_objects_are_never_a_labs() -> None:
    assert OURS.lab_of_object(kind("Node"), {"name": "lab-m1-worker", "labels": COURSE}, {}) == ""
    service = kind("APIService", "apiregistration.k8s.io")
    automatic = {"kube-aggregator.kubernetes.io/automanaged": "true"}
    assert OURS.lab_of_object(service, {"name": "v1.lab-m1.labs.example"}, {}) == "m1"
    assert OURS.lab_of_object(service, {"name": "v1.lab-m1.labs.example", "labels": automatic}, {}) == ""
