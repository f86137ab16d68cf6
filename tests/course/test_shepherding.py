"""The states of flocks and of barns cover what the exercises are about, and right answers pass in all of them."""

from __future__ import annotations

from typing import Any

from kubernetes import client

from labsupport.course.lessons.interleaving import barn, run_barns
from labsupport.course.lessons.shepherding import FATES, State, run_states, sheep_of

SEEDS = range(16)


def reconcile(core: Any, flock: Any) -> None:
    """A right answer."""
    place = flock["metadata"]["namespace"]
    wanted = [sheep_of(flock, number) for number in range(flock["spec"]["size"])]
    listed = core.api_client.sanitize_for_serialization(core.list_namespaced_config_map(place))["items"]
    there = {each["metadata"]["name"]: each for each in listed}
    for each in wanted:
        found = there.pop(each["metadata"]["name"], None)
        if found is None:
            core.create_namespaced_config_map(place, each)
        elif not _right(found, each):
            core.patch_namespaced_config_map(each["metadata"]["name"], place, each)
    for name, each in there.items():
        owners = each["metadata"].get("ownerReferences") or []
        if any(own["uid"] == flock["metadata"]["uid"] and own.get("controller") for own in owners):
            core.delete_namespaced_config_map(name, place)


def _right(found: Any, wanted: Any) -> bool:
    keys = ("labels", "ownerReferences")
    same = all(found["metadata"].get(key) == wanted["metadata"][key] for key in keys)
    return same and found.get("data") == wanted["data"]


def test_every_fate_and_flocks_that_are_too_large_occur() -> None:
    words = " ".join(str(State(seed)) for seed in SEEDS)
    for fate in [*FATES, "too many"]:
        assert fate in words or fate == "there"


def test_a_right_reconcile_passes_and_doing_nothing_does_not() -> None:
    assert run_states(reconcile, SEEDS) is None
    wrong = run_states(lambda core, flock: None, SEEDS)
    assert wrong is not None
    assert wrong.problem == "missing"


def test_no_wool_is_lost_by_a_loop_around_read_and_replace() -> None:
    def add(core: Any, namespace: str, name: str, kilos: int) -> None:
        while True:
            found = core.read_namespaced_config_map(name, namespace)
            found.data["kilos"] = str(int(found.data["kilos"]) + kilos)
            try:
                core.replace_namespaced_config_map(name, namespace, found)
            except client.ApiException as error:
                if error.status != 409:
                    raise
            else:
                return

    assert run_barns(add, SEEDS) is None
    plans = {what for seed in SEEDS for what in barn(seed).plan}
    assert plans == {"wool", "door", "note", "crowd"}
