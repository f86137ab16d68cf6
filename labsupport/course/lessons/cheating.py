"""A member of a lab's Quorum that is made to cheat, and one that is put in its place (lab O4)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from labsupport import kube
from labsupport.cluster import quorum as operator
from labsupport.course.lessons.quorums import SETTLED, Quorum
from labsupport.course.views import Note, Table
from labsupport.errors import LabsError
from labsupport.patience import patient

if TYPE_CHECKING:
    from labsupport.course.context import Context
    from labsupport.course.worlds.world import World

SAID = patient(15.0)  # seconds until the operator says what members say; it looks each second
TRIES = 5  # signatures until it is caught; the first one is enough if it is asked


def _program(world: World, words: list[str]) -> None:
    """What members are started as from now on. The operator does not mind: it looks at what it has written itself."""
    path = f"/apis/apps/v1/namespaces/{world.namespace}/statefulsets/q"
    containers = kube.request(world.api, "GET", path)["spec"]["template"]["spec"]["containers"]
    containers[0]["args"] = [*words, *containers[0]["args"][-4:]]
    kube.patch(world.api, path, {"spec": {"template": {"spec": {"containers": containers}}}})


def corrupt(lab: Context, how: str = "wrong-partial-signature") -> Note:
    """Start one member anew, as one that cheats (labsupport/quorum/cheats.py says how it may)."""
    quorum = Quorum(lab.world)
    quorum.settle()
    # Holders are asked for signatures in their order, so that this one is asked.
    name = next(each["key"]["holders"][0] for each in quorum.statuses().values() if each)
    _program(lab.world, ["cheat", "--how", how])
    quorum.kill(name)
    quorum.settle()
    _program(lab.world, ["member"])  # whoever is started after it is honest
    return Note(f"{name} was started anew, with other words: cheat --how {how}.")


def _cheats(quorum: Quorum) -> list[str]:
    """The Pods that were started as cheats."""
    return [
        pod["metadata"]["name"]
        for pod in quorum.pods()
        if "cheat" in (pod["spec"]["containers"][0].get("args") or [])
    ]


def caught(lab: Context) -> Table:
    """Have something signed until the Quorum's conditions name somebody; who has signed, and who is named."""
    quorum = Quorum(lab.world)
    rows = []
    for number in range(1, TRIES + 1):
        signed = quorum.sign(f"message {number}")
        rows.append((f"message {number}", ", ".join(signed.get("signers") or [signed.get("error", "")])))
        said = [each for each in quorum.statuses().values() if each]
        if any(each["key"]["blamed"] for each in said):
            blamed = {(each["name"], each["reason"]) for one in said for each in one["key"]["blamed"]}
            rows += [("blamed", f"{name}: {reason}") for name, reason in sorted(blamed)]
            break
    return Table("Signatures, and who is blamed", ("what", "who"), rows)


def await_said(world: World, reason: str) -> None:
    """Wait until a condition of the Quorum has this reason, or a while: what is said then tells the rest."""

    def seen(objects: list[dict[str, object]]) -> kube.Seen:
        reasons = [each["reason"] for each in operator.conditions(objects[0]).values()] if objects else []
        return kube.Seen(reason in reasons, ", ".join(reasons))

    target = kube.Target(operator.API_VERSION, "Quorum", "q", world.namespace)
    with contextlib.suppress(kube.wait.TimedOut):
        kube.until(world.api, target, seen, timeout=SAID)


def replace(lab: Context) -> Note:
    """Delete the cheat's volume and Pod; the operator takes in who comes in its place, and has shares dealt anew."""
    world, quorum = lab.world, Quorum(lab.world)
    quorum.settle()  # shares are being dealt to the others, without the cheat
    before = (quorum.object() or {}).get("status") or {}
    if not (cheats := _cheats(quorum)):
        return Note("Nobody cheats.")
    path = f"/api/v1/namespaces/{world.namespace}/persistentvolumeclaims/data-{cheats[0]}"
    kube.request(world.api, "DELETE", path)
    quorum.kill(cheats[0])
    target = kube.Target(operator.API_VERSION, "Quorum", "q", world.namespace)

    def dealt(objects: list[dict[str, dict[str, int]]]) -> kube.Seen:
        epoch = (objects[0].get("status") or {}).get("keyEpoch", 0) if objects else 0
        return kube.Seen(epoch > before.get("keyEpoch", 0), f"shares of epoch {epoch}")

    try:
        kube.until(world.api, target, dealt, timeout=SETTLED)
        after = quorum.settle()["status"]
    except kube.wait.TimedOut as late:
        raise LabsError(late.what, fix="lab.reset()") from late
    same = "the same" if after["publicKey"] == before["publicKey"] else "another"
    return Note(
        f"{cheats[0]} has another volume, and so is another member. Shares were dealt anew, for epoch "
        f"{after['keyEpoch']}. The public key is {same} as before."
    )
