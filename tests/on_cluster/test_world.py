"""From any state of the learner's labs, `lab.start` leads to the same state of the whole cluster, and touches nothing
that is not the course's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from labsupport import kube
from labsupport.cluster.interface import Cluster
from labsupport.course.context import Context
from labsupport.course.manifest import Lab, labs
from labsupport.course.progress import Progress
from labsupport.course.proofs.tour import pairs
from labsupport.course.source import run_cell
from labsupport.course.worlds import ownership
from labsupport.course.worlds.removal import remove
from labsupport.course.worlds.snapshot import Snapshot, at_rest, difference, difference_when_settled, take
from labsupport.course.worlds.world import (
    STARTED,
    World,
    apply_and_wait,
    empty,
    ensure_namespace,
    is_started,
    start,
)
from labsupport.errors import LabsError

from . import disorder
from .worlds import WORLDS

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

SETTLE = 20.0  # seconds for controllers to follow; the last volumes go late
ONE, TWO, THREE = WORLDS


@pytest.fixture
def api(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiClient]:
    """The run's cluster, where the course has the fixture labs too; nothing of them stays."""
    known = ownership.identifiers() | {lab.id for lab in WORLDS}
    monkeypatch.setattr(ownership, "identifiers", lambda: known)
    made = kube.connect(cluster.kubeconfig)
    yield made
    remove(made, ownership.ownership())


@pytest.fixture
def context(api: ApiClient, tmp_path: Path) -> Context:
    """A notebook's `lab` with the first fixture lab open, and the names of a notebook."""
    return Context({}, Progress(tmp_path / "progress.sqlite")).at(api, ONE)


# Without those that need the mesh or Quorums: all pairs of all labs would take twice as long as all other tests here.
WITHOUT_MESH = tuple(lab for lab in labs() if lab.mesh == lab.quorum == "none")


@pytest.mark.parametrize(
    "chosen", [pytest.param(WORLDS, id="awkward"), pytest.param(WITHOUT_MESH, id="course")]
)
def test_each_lab_starts_alike_whatever_was_before(api: ApiClient, chosen: Sequence[Lab]) -> None:
    """All ordered pairs, the lab before left in disorder: the same state of the whole cluster each time."""
    first: dict[str, Snapshot] = {}
    for lab in chosen:
        start(World(api, lab))
        first[lab.id] = at_rest(api)
    done: list[str] = []

    def disturb(world: World) -> None:
        done[:] = disorder.disturb(world, Random(f"{world.lab.id} {len(seen)}"))

    seen = []
    for before, lab, seconds in pairs(api, chosen, disturb):
        print(f"{before.id} to {lab.id}: {seconds:.1f} s, after {', '.join(done)}")
        seen.append((before.id, lab.id))
        left = difference_when_settled(api, first[lab.id], SETTLE)
        assert not left, f"from {before.id} to {lab.id} after {done}: {left}"
    assert len(set(seen)) == len(seen) == len(chosen) ** 2


def test_a_checkpoint_is_the_state_after_the_earlier_solutions(api: ApiClient, context: Context) -> None:
    from labsupport.course.authoring import solution_of

    world = World(api, ONE)
    start(world)
    names: dict[str, Any] = {"lab": context}
    run_cell(solution_of(ONE, "w1-settings"), names, "the first answer")
    apply_and_wait(world, ONE.exercise("w1-double").needs)
    run_cell(solution_of(ONE, "w1-double"), names, "the second answer")
    apply_and_wait(world, ONE.exercise("w1-last").needs)
    mark = {"metadata": {"annotations": {STARTED: "w1-last"}}}
    kube.patch(api, "/api/v1/namespaces/lab-w1", mark)
    by_hand = at_rest(api)
    start(world, "w1-last")
    assert difference_when_settled(api, by_hand, SETTLE) == []
    start(world)
    assert {"gone: ConfigMap settings in lab-w1", "gone: ClusterRole lab-w1-reader"} <= set(
        difference(by_hand, take(api))
    )


def test_names_of_earlier_solutions_are_given_only_where_the_learner_has_none(
    api: ApiClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from labsupport.course import context as module

    monkeypatch.setattr(module, "find_lab", lambda name: ONE)
    names: dict[str, Any] = {"factor": 5}
    note = Context(names, Progress(tmp_path / "progress.sqlite")).at(api, ONE).start("w1", at="w1-last")
    assert names["factor"] == 5
    assert names["double"](4) == 8
    assert set(names) - {"__builtins__"} == {"factor", "double"}
    assert "`double`" in note.text
    assert "`factor`" not in note.text
    assert "not shown" not in capsys.readouterr().out


def test_a_start_says_what_it_removed(
    api: ApiClient, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labsupport.course import context as module

    known = {lab.id: lab for lab in WORLDS}
    monkeypatch.setattr(module, "find_lab", lambda name: known[name])
    start(World(api, TWO))
    many = [disorder.config_map(f"many-{number}") for number in range(9)]
    kube.apply(api, many, namespace="lab-w2")
    context.start("w1")
    context.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: mine}}")
    text = context.start("w1").text
    assert "Removed: ConfigMap mine, Deployment web, Service web." in text
    assert "lab W2" not in text
    start(World(api, TWO))
    kube.apply(api, many, namespace="lab-w2")
    text = context.start("w1").text
    assert "Removed of lab W2: 14 objects (" in text
    assert "ConfigMap 9" in text


def test_what_an_exercise_put_elsewhere_is_found_again(api: ApiClient, context: Context) -> None:
    start(World(api, ONE))
    before = at_rest(api)
    context.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: stray, namespace: default}}")
    context.apply('{apiVersion: v1, kind: Namespace, metadata: {name: "{name:extra}"}}')
    context.apply(
        '{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: "{name:p}"}, value: 1}'
    )
    assert len(difference(before, take(api))) >= 3
    start(World(api, ONE))
    assert difference_when_settled(api, before, SETTLE) == []


def test_emptying_one_namespace_leaves_the_others(api: ApiClient) -> None:
    world = World(api, ONE)
    start(world)
    ensure_namespace(world, world.name("elsewhere"))
    kube.apply(api, [disorder.config_map("stray")], namespace=world.name("elsewhere"))
    before = at_rest(api)
    assert empty(world, world.name("elsewhere")) == ["ConfigMap stray"]
    assert difference_when_settled(api, before, 5) == ["gone: ConfigMap stray in lab-w1-elsewhere"]


# --- what is not the course's


def strangers(api: ApiClient) -> list[dict[str, Any]]:
    """Objects of others, as like the course's as others' objects can be."""
    bob = {
        "labels": {"labs.example/part-of": "course", "labs.example/lab": "w1", "labs.example/learner": "bob"}
    }
    rbac = "rbac.authorization.k8s.io/v1"
    crd = disorder.definition(World(api, ONE), "gadgets", "Gadget")
    crd["metadata"]["name"], crd["spec"]["group"] = "gadgets.other.example", "other.example"
    crd["spec"]["scope"] = "Cluster"
    hook = disorder.webhook(
        "lab-others", {"name": "nobody", "namespace": "lab-w1-private"}, failurePolicy="Ignore"
    )
    hook["webhooks"][0]["rules"] = [
        {"apiGroups": ["other.example"], "apiVersions": ["*"], "resources": ["x"], "operations": ["*"]}
    ]
    hook["webhooks"].append(
        {**hook["webhooks"][0], "name": "b.labs.example", "clientConfig": {"url": "https://x.invalid"}}
    )
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lab-w1-private"}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lab-unknown"}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bob-lab-w1", **bob}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "labs-of-others"}},
        *(
            {**disorder.config_map("lab-w1-notes"), "metadata": {"name": "lab-w1-notes", "namespace": place}}
            for place in (
                "default",
                "lab-w1-private",
                "lab-unknown",
                "bob-lab-w1",
                "labs-of-others",
                "kube-system",
            )
        ),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "of-bob", "namespace": "default", **bob},
        },
        {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": "lab-w10-reader"}, "rules": []},
        {
            "apiVersion": rbac,
            "kind": "ClusterRole",
            "metadata": {"name": "bob-lab-w1-reader", **bob},
            "rules": [],
        },
        {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": "lab-reader"}, "rules": []},
        crd,
        {"apiVersion": "other.example/v1", "kind": "Gadget", "metadata": {"name": "lab-of-another-kind"}},
        hook,
    ]


@pytest.fixture
def others(api: ApiClient) -> Iterator[list[dict[str, Any]]]:
    documents = strangers(api)
    kube.apply(api, documents, field_manager="others")
    yield documents
    kube.delete(api, [each for each in documents if each["kind"] != "CustomResourceDefinition"])
    kube.delete(api, documents)


def as_they_are(api: ApiClient, documents: list[dict[str, Any]]) -> dict[str, Any]:
    """Each object's identity and version: any write to it at all would change the version."""
    found = {}
    for each in documents:
        metadata = each["metadata"]
        now = kube.get(api, each["apiVersion"], each["kind"], metadata["name"], metadata.get("namespace", ""))
        key = f"{each['kind']} {metadata.get('namespace', '')}/{metadata['name']}"
        found[key] = (now["metadata"]["uid"], now["metadata"]["resourceVersion"]) if now else None
    return found


def test_nothing_of_others_is_touched(api: ApiClient, others: list[dict[str, Any]]) -> None:
    before = as_they_are(api, others)
    assert None not in before.values()
    chance = Random(5)
    for lab in (ONE, TWO, THREE, ONE):
        start(World(api, lab))
        disorder.disturb(World(api, lab), chance, 6)
    removed = start(World(api, ONE)).removed
    assert as_they_are(api, others) == before
    assert [note for note in removed.notes if "lab-w1-private" in note]


def test_a_namespace_that_the_course_did_not_make_is_refused(api: ApiClient) -> None:
    start(World(api, TWO))
    place = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lab-w1"}}
    kube.apply(api, [place])
    before = at_rest(api)
    try:
        with pytest.raises(LabsError, match="the course did not make it"):
            start(World(api, ONE))
        assert difference_when_settled(api, before, 5) == []
    finally:
        kube.delete(api, [place])


def test_two_learners_do_not_meet(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    start(World(api, TWO))
    before = {key: each for key, each in at_rest(api).items() if "lab-w2" in str(tuple(key))}
    with monkeypatch.context() as patch:
        patch.setenv("LABS_LEARNER", "bob")
        world = World(api, TWO)
        assert (world.namespace, world.group) == ("bob-lab-w2", "bob-lab-w2.labs.example")
        start(world)
        both = at_rest(api)
        start(world)
        patch.delenv("LABS_LEARNER")
        bobs = {key for key in both if "bob-lab-w2" in str(tuple(key))}
        assert {key.kind for key in bobs} >= {
            "Namespace",
            "CustomResourceDefinition",
            "Widget",
            "Fleet",
            "ClusterRole",
        }
        assert difference(before, {key: both[key] for key in before}) == []
        start(World(api, TWO))
        assert bobs <= take(api).keys()
        patch.setenv("LABS_LEARNER", "bob")
        start(World(api, ONE))
        assert not [key for key in take(api) if "bob-lab-w2" in str(tuple(key))]
        remove(api, ownership.ownership())


def test_resume_starts_only_what_has_not_reached_its_start(
    api: ApiClient, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labsupport.course import context as module

    monkeypatch.setattr(module, "find_lab", lambda name: ONE)
    context.start("w1")
    context.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: mine}}")
    assert "as you left it" in context.resume("w1").text
    assert kube.get(api, "v1", "ConfigMap", "mine", "lab-w1")
    disorder.half_deleted_namespace(World(api, ONE))
    assert not is_started(World(api, ONE))
    context.resume("w1")
    assert is_started(World(api, ONE))
    assert kube.get(api, "v1", "ConfigMap", "mine", "lab-w1") is None
