"""What is done and said in each situation: the table of quorum_operator/README.md, in the fake world."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from labsupport.operators.quorum_operator import kinds, names, releases
from labsupport.operators.quorum_operator.observed import Claim, Member, Pod, Quorum
from labsupport.operators.quorum_operator.plan import plan
from tests.operators.quorum.fakes import NAMESPACE
from tests.operators.quorum.world import World, founded


def reason(world: World, condition: str) -> tuple[str, str]:
    said = world.condition(condition)
    return said["status"], said["reason"]


def writes_but_status(world: World) -> list[str]:
    return [each for each in world.writes.log if not each.startswith("patch Quorum")]


def test_without_a_majority_nothing_is_done_and_that_is_said() -> None:
    world = founded(size=3)
    for pod in ("q-0", "q-1"):
        world.members.unreachable.add(pod)
        world.hurt.add(pod)
    before = writes_but_status(world)
    world.edit(size=5, release="1.1")
    for _ in range(20):
        world.tick()
        world.round()
    assert writes_but_status(world) == before
    assert reason(world, "Available") == ("False", "NoQuorum")
    assert reason(world, "Progressing") == ("False", "NoQuorum")
    assert reason(world, "KeyReady") == ("Unknown", "NoQuorum")
    world.members.unreachable.clear()
    world.settle()
    world.hurt.clear()
    world.expect(5, "1.1")


def test_members_that_only_the_operator_cannot_reach_are_not_called_down() -> None:
    world = founded(size=3)
    world.members.status = lambda quorum, pods: {}  # type: ignore[method-assign]
    world.round()
    assert reason(world, "Available") == ("Unknown", "Unreachable")


def test_a_change_of_mind_in_the_middle_of_an_upgrade() -> None:
    world = founded(size=5)
    world.edit(release="1.1")
    world.settle(
        until=lambda: "1.1" in {pod["metadata"]["labels"][names.RELEASE] for pod in world.api.of(kinds.PODS)}
    )
    world.edit(release="1.0")
    world.settle()
    world.expect(5)
    assert world.members.protocol == 1
    assert world.longest == 0


def test_after_a_failed_gate_another_release_is_gone_to() -> None:
    world = founded(size=3)
    world.edit(release="1.1-broken")
    world.settle()
    assert reason(world, "UpgradeBlocked") == ("True", "GateFailed")
    assert "q-2 was not well within 10 s" in world.condition("UpgradeBlocked")["message"]
    world.edit(release="1.1")
    world.settle()
    world.expect(3, "1.1")
    assert world.members.protocol == 2


def test_a_failed_gate_is_tried_once_more_when_the_annotation_says_so() -> None:
    world = founded(size=3)
    world.edit(release="1.1-broken")
    world.settle()
    restarts = len([each for each in world.writes.log if each.startswith("delete Pod")])
    world.settle()
    assert len([each for each in world.writes.log if each.startswith("delete Pod")]) == restarts
    world.object["metadata"]["annotations"] = {names.RETRY: "1"}
    world.settle()
    assert len([each for each in world.writes.log if each.startswith("delete Pod")]) == 2 * restarts


@pytest.mark.parametrize(
    ("first", "then", "why"), [("1.0", "2.0", "ProtocolTooOld"), ("2.0", "1.0", "ProtocolDowngrade")]
)
def test_a_release_that_does_not_speak_the_protocol_is_not_begun(first: str, then: str, why: str) -> None:
    world = founded(size=3)
    for release in ("1.1", "2.0"):
        if first == "2.0":
            world.edit(release=release)
            world.settle()
    before = writes_but_status(world)
    world.edit(release=then)
    world.settle()
    assert reason(world, "UpgradeBlocked") == ("True", why)
    assert writes_but_status(world) == before


def test_a_backup_comes_before_the_first_member_is_changed() -> None:
    world = founded(size=3)
    world.edit(release="1.1", upgrade={"backup": "Required", "healthSeconds": 10})
    world.settle()
    assert reason(world, "UpgradeBlocked") == ("True", "BackupMissing")
    world.edit(backup={"claimName": "archive"})
    for _ in range(10):
        world.tick()
        world.round()
    (backup,) = world.api.of(kinds.BACKUPS)
    assert not any(each.startswith("delete Pod") for each in world.writes.log)
    backup["status"] = {"phase": "Failed", "message": "no room"}
    world.settle()
    assert reason(world, "UpgradeBlocked") == ("True", "BackupFailed")
    world.object["metadata"]["annotations"] = {names.RETRY: "again"}
    for _ in range(10):
        world.tick()
        world.round()
    second = next(each for each in world.api.of(kinds.BACKUPS) if each is not backup)
    second["status"] = {"phase": "Completed"}
    world.settle()
    world.expect(3, "1.1")


def test_objects_of_others_are_left_alone() -> None:
    world = World(size=3)
    world.api.put(kinds.SERVICES, NAMESPACE, {"metadata": {"name": "q-leader"}, "spec": {"mine": True}})
    world.settle()
    assert reason(world, "Available") == ("False", "ForeignObject")
    assert "Service q-leader" in world.condition("Available")["message"]
    assert writes_but_status(world) == []


def test_a_volume_of_another_quorum_is_left_alone() -> None:
    world = World(size=3)
    labels = {names.QUORUM: "q", "quorum.labs.example/uid": "of an older one"}
    world.api.put(kinds.CLAIMS, NAMESPACE, {"metadata": {"name": "data-q-0", "labels": labels}})
    world.settle()
    assert "PersistentVolumeClaim data-q-0" in world.condition("Available")["message"]
    assert not world.members.ceremonies


def test_a_full_disk_is_said_and_nobody_else_is_taken_down() -> None:
    world = founded(size=3)
    world.members.full.add("q-1")
    world.edit(release="1.1")
    world.settle(60, until=lambda: world.api.now > 1_000_060)
    assert reason(world, "Degraded") == ("True", "DiskFull")
    assert world.condition("Available")["status"] == "True"


def test_a_lost_share_is_made_anew_from_the_threshold() -> None:
    world = founded(size=5)
    public, epoch = world.members.key["public"], world.members.key["epoch"]
    world.members.volume("q-3").epoch = 0  # type: ignore[union-attr]
    world.settle()
    world.expect(5)
    assert world.members.key["public"] == public
    assert world.members.key["epoch"] == epoch + 1


def shares(world: World) -> list[tuple[int, int]]:
    """Settle; how many of how many signed together, one after another."""
    found: list[tuple[int, int]] = []

    def look() -> bool:
        key = world.members.key
        now = (key["threshold"], len(key["holders"]))
        if not found or found[-1] != now:
            found.append(now)
        return False

    world.settle(until=look)
    return found


def test_while_it_grows_a_share_may_be_lost_as_before_and_there_are_no_ceremonies_for_nothing() -> None:
    world = founded(size=3)
    world.edit(size=5)
    assert shares(world) == [(2, 3), (3, 4), (3, 5)]
    world.expect(5)
    assert world.members.key["epoch"] == 3


def test_while_it_grows_no_fewer_sign_together_than_until_then() -> None:
    world = founded(size=3, threshold=3)
    world.edit(size=5, threshold=5)
    assert shares(world) == [(3, 3), (4, 4), (5, 5)]
    strict = founded(size=5, threshold=4)
    strict.lose(2)
    assert shares(strict) == [(4, 5)]
    strict.expect(5)


def test_with_too_few_shares_nothing_is_begun_and_that_is_said() -> None:
    world = founded(size=3, threshold=3)
    world.members.volume("q-1").epoch = 0  # type: ignore[union-attr]
    ceremonies = world.writes.count
    world.settle()
    assert reason(world, "KeyReady") == ("False", "TooFewHolders")
    assert not [each for each in world.writes.log[ceremonies:] if each.startswith("key ")]


def test_a_member_that_would_not_say_who_it_is_is_not_replaced() -> None:
    world = founded(size=3)
    original = world.members.status

    def status(quorum: Quorum, pods: Iterable[Pod]) -> dict[str, Member]:
        return {
            **original(quorum, pods),
            "q-2": Member("q-2", "", "", phase="stopped", problems=("wrong token",)),
        }

    world.members.status = status  # type: ignore[method-assign]
    before = writes_but_status(world)
    world.settle()
    assert writes_but_status(world) == before
    assert reason(world, "Degraded") == ("True", "MemberStopped")
    assert "wrong token" in world.condition("Degraded")["message"]


def test_more_than_a_minority_lost_is_not_papered_over() -> None:
    world = founded(size=3)
    world.lose(0)
    world.lose(1)
    before = [each for each in world.writes.log if each.startswith(("bootstrap", "members", "key"))]
    for _ in range(30):
        world.tick()
        world.round()
    assert [each for each in world.writes.log if each.startswith(("bootstrap", "members", "key"))] == before
    assert reason(world, "Available") == ("False", "NoQuorum")


def test_a_statefulset_scaled_down_by_hand_gets_its_pods_back_without_a_leader() -> None:
    world = founded(size=5)
    world.hurt |= {f"q-{each}" for each in range(5)}
    world.api.of(kinds.STATEFULSETS)[0]["spec"]["replicas"] = 1
    world.settle()
    world.hurt.clear()
    world.expect(5)


def test_a_size_that_shrinks_and_grows_again_does_not_bring_back_a_removed_member() -> None:
    world = founded(size=5)
    old = {each.id for each in world.members.volumes.values()}
    world.edit(size=3)
    world.settle()
    world.edit(size=5)
    world.settle()
    world.expect(5)
    assert len({*world.members.voters} & old) == 3


def test_it_is_not_called_as_wanted_before_the_last_volume_is_gone() -> None:
    world = founded(size=3)
    world.round()
    assert world.last is not None
    seen = world.last.seen
    assert plan(seen).step is None
    pods = {**seen.pods, "q-3": Pod("q-3", "uid", "1.0", terminating=True)}
    step = plan(replace(seen, pods=pods, claims=(*seen.claims, Claim("data-q-3", "uid", 3)))).step
    assert step is not None
    assert (step.action, step.reason) == (None, "Shrinking")


def test_deletion_ends_and_leaves_nothing_that_it_should_have_removed() -> None:
    for after in range(12):
        world = founded(size=3)
        world.object["metadata"]["deletionTimestamp"] = "now"
        world.hurt |= {f"q-{each}" for each in range(3)}
        world.writes.crash_after = world.writes.count + after if after else 0
        world.settle(60)
        for kind in (kinds.QUORUMS, kinds.STATEFULSETS, kinds.PODS, kinds.CLAIMS, kinds.BINDINGS):
            assert world.api.of(kind) == [], kind


def test_deletion_ends_without_a_quorum_too() -> None:
    world = founded(size=3)
    world.hurt |= {f"q-{each}" for each in range(3)}
    world.members.unreachable |= world.hurt
    world.object["metadata"]["deletionTimestamp"] = "now"
    world.settle(60)
    assert world.api.of(kinds.QUORUMS) == []


@pytest.mark.parametrize(
    ("release", "protocol", "fits"), [("1.0", 1, True), ("2.0", 1, False), ("9", 1, False)]
)
def test_who_speaks_what(release: str, protocol: int, fits: bool) -> None:
    assert releases.speaks(release, protocol) is fits
    assert (releases.refusal(release, protocol) is None) is fits
