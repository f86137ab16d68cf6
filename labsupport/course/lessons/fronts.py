"""Writes by way of a Service while the leader of a Quorum is killed: what a client feels of a failover (lab O4)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from labsupport.course.lessons.quorums import DESK, Quorum
from labsupport.course.views import Note, Table
from labsupport.kube.execute import follow
from labsupport.patience import patient

if TYPE_CHECKING:
    from labsupport.course.context import Context
    from labsupport.course.worlds.world import World

FIRST = patient(6.0)  # seconds until a first write is confirmed; it takes less than one
WRITTEN = patient(20.0)  # seconds in all; a failover takes one or two
BEFORE, AFTER = 5, 8  # confirmed writes before the leader is killed, and by another one after it


@dataclass
class Story:
    """The attempts of a writer (labsupport/quorum/writer.py), in their order; `killed`: which member was, and when."""

    attempts: list[dict[str, Any]] = field(default_factory=list)
    killed: str = ""
    at: float = 0.0

    def confirmed(self, but: str = "") -> list[dict[str, Any]]:
        """The attempts that were confirmed, without those by one member."""
        return [each for each in self.attempts if each["status"] == 200 and each["by"] != but]

    @property
    def went_on(self) -> bool:
        """Whether writes were confirmed by another member after the kill."""
        return bool(self.killed) and len(self.confirmed(but=self.killed)) >= AFTER

    @property
    def gap(self) -> float:
        """The longest time without a confirmed write, in seconds."""
        moments = [float(each["at"]) for each in self.confirmed()]
        return max((later - earlier for earlier, later in pairwise(moments)), default=0.0)

    def ended(self) -> str:
        """How the last attempts went, in words."""
        return how(self.attempts[-5:])


def how(attempts: Sequence[dict[str, Any]]) -> str:
    """How attempts went, in words."""
    words = {
        200: "written",
        307: "told that it does not lead",
        503: "told that it cannot at present",
        0: "reached nobody",
    }
    told = [
        f"{words.get(each['status'], each['status'])}" + (f" by {each['by']}" if each["by"] else "")
        for each in attempts
    ]
    return ", ".join(dict.fromkeys(told)) or "there was no attempt"


def write(world: World, service: str, *, kill: bool = True) -> Story:
    """Write by way of a Service; once some writes are confirmed, kill the member that confirmed them.

    Errors: LabsError where the desk does not work.
    """
    quorum, story = Quorum(world), Story()
    options = ["--seconds", f"{WRITTEN:g}", "--first", f"{FIRST:g}", "--moved", str(AFTER)]
    command = ["python3", "-m", "labsupport.quorum.writer", service, *options]
    for line in follow(world.api, world.namespace, DESK, command):
        if not line.startswith("{"):
            continue
        story.attempts.append(json.loads(line))
        if kill and not story.killed and len(story.confirmed()) >= BEFORE:
            story.killed, story.at = story.confirmed()[-1]["by"], float(story.attempts[-1]["at"])
            quorum.kill(story.killed)
    return story


def failover(lab: Context, service: str = "front") -> Table | Note:
    """Kill the leader while somebody writes by way of a Service, and tell what the writer has met."""
    story = write(lab.world, service)
    Quorum(lab.world).settle()
    if not story.killed:
        return Note(
            f"No write was confirmed by way of {service}: {story.ended()}.",
            "Nobody was killed, for nobody leads there",
        )
    rows: list[tuple[str, str, str]] = []
    for each in story.attempts:
        what = how([each])
        if rows and rows[-1][1] == what:
            rows[-1] = (rows[-1][0], what, str(int(rows[-1][2]) + 1))
        else:
            rows.append((f"{float(each['at']) - story.at:+.2f}", what, "1"))
    title = (
        f"{story.killed} was killed at 0; the longest time without a confirmed write was {story.gap:.2f} s"
    )
    return Table(title, ("s", "the writer was", "times"), rows)
