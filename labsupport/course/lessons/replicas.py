"""Replicas of an operator that elect one of them: who acted when, as their records tell; and that one, killed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labsupport import kube
from labsupport.course.deploy import Deployed, find
from labsupport.course.lessons.operating import calls, rested
from labsupport.course.views import Note, Table
from labsupport.errors import LabsError
from labsupport.kube.execute import execute
from labsupport.patience import patient

if TYPE_CHECKING:
    from labsupport.course.context import Context

TAKES_OVER = patient(
    25.0
)  # seconds for another one to act: a Lease's 6, two looks, and kopf's start; 10 or less
FALLS = patient(15.0)  # seconds for a replica to be killed and to begin anew; it takes one or two
AGAIN = 5.0  # seconds after which it is killed once more
PACE = 0.3


@dataclass(frozen=True)
class Term:
    """A time in which one replica acted, and no other one: its first and its last call, in seconds since 1970."""

    by: str
    first: float
    last: float
    calls: int


def terms(operator: Deployed | None, about: str = "") -> list[Term]:
    """Who acted, one after the other, by the calls of handlers (for the object `about` alone, if it is given)."""
    found: list[Term] = []
    for each in calls(operator, about):
        by, began, ended = str(each.get("by", "")), float(each["began"]), float(each["ended"])
        if found and found[-1].by == by:
            found[-1] = Term(by, found[-1].first, ended, found[-1].calls + 1)
        else:
            found.append(Term(by, began, ended, 1))
    return found


def returned(found: Sequence[Term]) -> str:
    """Who acted again after another one had, so that both took themselves for the leader; empty if nobody did."""
    names = [each.by for each in found]
    return next((each for each in names if names.count(each) > 1), "")


def acting(
    operator: Deployed | None, about: str, *, unlike: str = "", since: float = 0.0, seconds: float
) -> list[Term]:
    """The terms, as soon as the last one is of another replica than `unlike` and has lasted after `since` (in seconds
    since 1970: a Pod that is gone has taken its terms with it), or when so many seconds have passed.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = terms(operator, about)
        met = found and found[-1].by != unlike and found[-1].last > since
        if met or time.monotonic() > deadline:
            return found
        time.sleep(PACE)  # a Pod's log is read in one piece


def begun(operator: Deployed, pod: str) -> list[str]:
    """The names under which a Pod has been a candidate, oldest first."""
    said = [each for each in operator.records() if each.get("record") == "election"]
    return [each["by"] for each in said if each["what"] == "begins" and each["by"].startswith(f"{pod}_")]


def kill(operator: Deployed, by: str) -> None:
    """Have a replica end at once, as by SIGKILL, which no process of its own Pod could send it, and see it begin anew.

    Errors: LabsError if that does not come to pass.
    """
    pod, deadline = by.partition("_")[0], time.monotonic() + FALLS
    while begun(operator, pod)[-1:] in ([], [by]):
        if time.monotonic() > deadline:
            raise LabsError(f"{by} could not be killed.", fix="check once more")
        with contextlib.suppress(LabsError):  # on a busy machine it may not be answered in time
            execute(operator.world.api, operator.world.namespace, pod, ["bash", "-c", "kill -USR1 1"])
        _wait_for(lambda: begun(operator, pod)[-1:] != [by], AGAIN)


def _wait_for(met: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not met() and time.monotonic() < deadline:
        time.sleep(PACE)  # a Pod's log is read in one piece


def table(lab: Context, name: str, *, quiet: float = 0.0) -> Table:
    """Who of an operator's replicas acted when, in seconds since the first call; with `quiet`, once there are calls and
    none has come for so many seconds.
    """
    if quiet:
        rested(lab, name, quiet=quiet)
    found = terms(find(lab.world, name))
    began = found[0].first if found else 0.0
    rows = [
        (each.by, f"{each.first - began:.1f}", f"{each.last - began:.1f}", str(each.calls)) for each in found
    ]
    return Table(f"Who acted for {name}", ("replica", "from (s)", "to (s)", "calls"), rows)


def fell(lab: Context, name: str, *, kindly: bool = False) -> Note:
    """Kill the replica that acts, or, `kindly`, delete its Pod; wait until another one acts."""
    operator = find(lab.world, name)
    if operator is None or not (before := acting(operator, "", seconds=TAKES_OVER)):
        return Note(f"Nobody acts for {name} yet.")
    victim, fallen = before[-1].by, time.time()
    if kindly:
        path = f"/api/v1/namespaces/{lab.namespace}/pods/{victim.partition('_')[0]}"
        kube.request(lab.api, "DELETE", path)
    else:
        kill(operator, victim)
    how = "told to end" if kindly else "killed"
    after = acting(operator, "", unlike=victim, since=fallen, seconds=TAKES_OVER)
    if not after or after[-1].by == victim or after[-1].last < fallen:
        return Note(f"{victim} was {how}, and nobody else acts yet.")
    return Note(f"{victim} was {how}. {after[-1].first - fallen:.1f} s later {after[-1].by} acted.")
