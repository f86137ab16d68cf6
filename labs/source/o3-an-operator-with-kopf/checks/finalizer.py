"""o3-finalizer: a handler on generated registers, and the operator made of it, switched off when a Flock is deleted."""

from __future__ import annotations

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.handlers import REGISTER, run_striking
from labsupport.kube.objects import Object
from labsupport.patience import patient

from .guest import deployed, guest, raised, switched_off

CLERK = "clerk"
STATES = range(21)
SOON = patient(8.0)  # seconds for an operator to answer a change; it takes less than one
AWAY = patient(4.0)  # seconds in which a Flock that nothing holds is gone
REVIVED = patient(15.0)  # seconds for an operator that was switched on to have looked at each Flock
LOOK = {
    "entry-stays": "Whose entry is to go, and which handler argument tells its name?",
    "others": "The register belongs to all flocks. What exactly does your write replace?",
    "fails-for-ever": (
        "As long as the handler raises, the finalizer stays, and so does the Flock. Is what it found an error, or what "
        "was wanted anyway?"
    ),
    "swallows": (
        "When the handler returns, kopf takes the finalizer off, and nobody will ever look at that entry again. Of "
        "what should kopf hear?"
    ),
    "makes-one": "What is to be gone need not be made first.",
    "endless-requests": "One write is enough.",
    "not-entered": "`enter` was given, and must be deployed along with `strike`.",
    "left-behind": (
        "Nothing held the Flock until the operator was back. Which kind of handler has kopf put a finalizer on the "
        "object, and what takes that away again?"
    ),
    "never-ends": "`labs kubectl get flock -o yaml` shows who holds it, and the operator's log shows why.",
}


def finalizer_offline(probe: Probe) -> Outcome:
    """o3-finalizer, in memory: registers in every state, with a refusal, and with another writer."""
    with probe.function("strike") as call:
        call.limit = 20.0
        finding = call.drive(run_striking, [*STATES], about=f"{len(STATES)} generated registers")
    if finding is not None:
        return _bad(finding.problem, finding.text, "a generated state, in memory")
    return passed(
        f"{len(STATES)} generated registers were left as they should be.", "generated states, in memory"
    )


def finalizer_live(probe: Probe) -> Outcome:
    """o3-finalizer, deployed: a Flock of the check's own is deleted while the operator is switched off."""
    clerk = deployed(probe, CLERK)
    with guest(probe, size=0, colour="grey") as flock:
        where = f"Flock {flock.name}, metadata.finalizers"
        try:
            if not _stands(probe, flock.name, True, SOON):
                text = f"A new Flock was made, and it does not stand in the register.{raised(clerk)}"
                return _bad("not-entered", text, f"ConfigMap {REGISTER}")
            with switched_off(probe, clerk):
                flock.delete()
                held = flock.stays(AWAY)
            if not held:
                text = "The Flock was deleted while the operator was off, and was gone; its entry is still there."
                return _bad("left-behind", text, where)
            if flock.stays(REVIVED):
                text = "The Flock was deleted while the operator was off; it is on again, and the Flock still there."
                return _bad("never-ends", text + raised(clerk), where)
            if not _stands(probe, flock.name, False, 1.0):
                text = f"The Flock is gone, and still stands in the register.{raised(clerk)}"
                return _bad("entry-stays", text, f"ConfigMap {REGISTER}")
        finally:
            _erase(probe, flock.name)
    return passed(
        "A Flock was deleted while the operator was off. Its finalizer held it until the operator was back, and then "
        "both the entry and the Flock went.",
        f"{where}, and ConfigMap {REGISTER}",
    )


def _stands(probe: Probe, name: str, wanted: bool, seconds: float) -> bool:
    """Whether it comes to pass that the Flock stands in the register, or does not."""

    def seen(objects: list[Object]) -> kube.Seen:
        there = any(name in (each.get("data") or {}) for each in objects)
        return kube.Seen(there == wanted, f"{name} {'stands' if there else 'does not stand'} in the register")

    target = kube.Target("v1", "ConfigMap", REGISTER, probe.namespace)
    try:
        kube.until(probe.api, target, seen, timeout=probe.left(seconds), progress=probe.progress)
    except kube.wait.TimedOut:
        return False
    return True


def _erase(probe: Probe, name: str) -> None:
    """Take the check's own entry out, if it was left."""
    found = probe.get("v1", "ConfigMap", REGISTER)
    if found is not None and name in (found.get("data") or {}):
        path = f"/api/v1/namespaces/{probe.namespace}/configmaps/{REGISTER}"
        kube.patch(probe.api, path, {"data": {name: None}})


def _bad(problem: str, text: str, decided_by: str) -> Outcome:
    return not_yet(f"o3-finalizer/{problem}", text, decided_by, LOOK[problem])
