"""Who has a proxy, of which making, and whom to restart for it."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.mesh import names
from labsupport.mesh.admin.workloads import Owner, PodState, owners_to_restart, state_of, survey

Object = dict[str, Any]


def pod(
    name: str,
    namespace: str = "shop",
    *,
    revision: str | None = None,
    owner: tuple[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    phase: str = "Running",
    **spec: Any,
) -> Object:
    """A Pod; with a `revision` it has a proxy of it."""
    metadata: Object = {"name": name, "namespace": namespace, "annotations": dict(annotations or {})}
    if revision is not None:
        metadata["annotations"][names.REVISION] = revision
        metadata["labels"] = {names.PROXY: "redirect"}
        spec["initContainers"] = [{"name": names.PROXY_CONTAINER}]
    if owner:
        metadata["ownerReferences"] = [{"kind": owner[0], "name": owner[1], "controller": True}]
    status = {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": metadata, "spec": {"containers": [], **spec}, "status": status}


REPLICAS = {
    "metadata": {
        "name": "web-1",
        "namespace": "shop",
        "ownerReferences": [{"kind": "Deployment", "name": "web"}],
    }
}


def states(*pods: Object, revision: str = "new") -> dict[str, PodState]:
    return {each.name: each for each in survey(pods, ["shop"], [REPLICAS], revision)}


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (pod("a", revision="new"), "current"),
        (pod("a", revision="old"), "older"),
        (pod("a"), "missing"),
        (pod("a", annotations={names.INJECT: "false"}), "left"),
        (pod("a", hostNetwork=True), "left"),
        (pod("a", annotations={names.INJECT: "nonsense"}), "left"),
    ],
)
def test_each_pod_of_the_mesh_has_a_state(found: Object, state: str) -> None:
    assert states(found)["a"].state == state


def test_without_a_webhook_nobody_knows_what_is_current() -> None:
    assert state_of(pod("a", revision="x"), in_mesh=True, revision="") == ("unknown", "")


def test_elsewhere_only_leftover_proxies_count() -> None:
    found = states(pod("a", "other", revision="new"), pod("b", "other"))
    assert [(each.name, each.state) for each in found.values()] == [("a", "leftover")]


def test_pods_that_have_ended_or_are_going_are_left_out() -> None:
    going = pod("going")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert states(pod("done", phase="Succeeded"), going) == {}


def test_owners_are_those_that_make_pods_anew() -> None:
    found = states(
        pod("a", owner=("ReplicaSet", "web-1")),
        pod("b", owner=("ReplicaSet", "web-1"), revision="old"),
        pod("c", owner=("StatefulSet", "db")),
        pod("d", owner=("Job", "migrate")),
        pod("e"),
        pod("f", owner=("DaemonSet", "fine"), revision="new"),
    )
    rolled, others = owners_to_restart(found.values())
    assert rolled == [Owner("Deployment", "shop", "web"), Owner("StatefulSet", "shop", "db")]
    assert others == [Owner("Job", "shop", "migrate"), Owner("Pod", "shop", "e")]


def test_capture_and_readiness_are_told() -> None:
    with_proxy = states(pod("a", revision="new"))["a"].as_dict()
    assert (with_proxy["capture"], with_proxy["ready"]) == ("redirect", True)
    assert states(pod("a"))["a"].capture == ""
