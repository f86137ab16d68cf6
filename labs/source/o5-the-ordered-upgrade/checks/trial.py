"""The lab's own Quorum, which a check has go to another release by the learner's functions, under a client's writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from labsupport.course.deploy import Deployed, describe
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet
from labsupport.course.lessons import upgrades
from labsupport.course.lessons.quorums import Quorum
from labsupport.course.lessons.upgrades import UPGRADER, Run
from labsupport.errors import LabsError
from labsupport.patience import patient

RELEASES = ("1.0", "1.1")  # between which there is a way in both directions while the protocol is held
READING = patient(6.0)  # seconds that are left for reading again what was written


def deployed(probe: Probe) -> Deployed:
    """The learner's upgrader. Errors: Rejected if none runs."""
    found = probe.deployed(UPGRADER)
    if found is None:
        raise Rejected(
            not_yet(
                "not-deployed",
                f"No {UPGRADER} runs in your namespace.",
                f"Deployment {UPGRADER} in {probe.namespace}",
                "The last line of the exercise's cell deploys your functions.",
            )
        )
    return found


def raised(upgrader: Deployed) -> str:
    """What went wrong last in the upgrader, as a sentence; or nothing."""
    errors = upgrader.errors()
    return f" Its log tells of {describe(errors[-1])}." if errors else ""


def stands(quorum: Quorum) -> str:
    """The release that it is to have, or most of its members have where that is none to stay at. Errors: LabsError."""
    found = quorum.object()
    if found is None:
        raise LabsError("The Quorum q is gone.", fix='lab.reset(), or lab.start("o5")')
    if (wanted := str(found["spec"]["release"])) in RELEASES:
        return wanted
    label = "quorum.labs.example/release"
    of = Counter(str(each["metadata"]["labels"].get(label)) for each in quorum.pods())
    return next((name for name, _ in of.most_common() if name in RELEASES), RELEASES[0])


def go(probe: Probe, quorum: Quorum, release: str) -> Run:
    """Have it go to `release` (lessons/upgrades.py)."""
    probe.progress(f"the Quorum {quorum.name} is to go to {release}")
    return upgrades.run(quorum, release, seconds=lambda: probe.left(1e9) - READING, progress=probe.progress)


def unfinished(run: Run, upgrader: Deployed) -> str:
    """Why an upgrade stands still, in words. Errors: LabsError where it does not stand still and needs more time."""
    if run.ended == "late":
        raise LabsError(
            f"The upgrade was still going on when the check's time was over: {run.last}.",
            fix="a machine that has less to do, or LABS_PATIENCE=2 (a factor for all deadlines)",
        )
    return f"It stands still since: {run.last}.{raised(upgrader)}"


def unharmed(run: Run, problem: str, look: str, where: str) -> Outcome | None:
    """What the client's writes met with, if that is more than waiting."""
    wrote: Mapping[str, Any] = run.wrote
    if not wrote["refused"] and not wrote["lost"]:
        return None
    text = f"Of a client's writes meanwhile, {wrote['refused']} were refused and {wrote['lost']} were lost."
    return not_yet(problem, text, where, look)
