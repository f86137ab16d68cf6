"""m2-match: which version answers which request, and what it tells if it is the wrong one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.proxy import Reply

from .serving import WAIT, serving, unseen_paths

HEADER = "x-preview"


@dataclass(frozen=True)
class Case:
    """A request, the version that must answer it, and what it tells when another does."""

    path: str
    version: str
    diagnostic: str
    header: str | None = None

    @property
    def words(self) -> str:
        """The request as a person writes it."""
        return f"GET {self.path}" + (f" with {HEADER}: {self.header}" if self.header is not None else "")


def cases() -> list[Case]:
    """What is sent."""
    first, second, third = unseen_paths("m2-match", 3)
    return [
        Case("/next/a", "2", "too-narrow"),
        Case("/next", "2", "too-narrow"),
        Case("/next/", "2", "too-narrow"),
        Case(f"/next{third}?page=2", "2", "too-narrow"),
        Case("/next/b", "2", "too-narrow", "no"),
        Case("/next/c", "2", "too-narrow", "yes"),
        Case("/", "2", "too-narrow", "yes"),
        Case(first, "2", "too-narrow", "yes"),
        Case("/next-week", "2", "too-narrow", "yes"),
        Case("/", "1", "too-wide"),
        Case(second, "1", "too-wide"),
        Case("/next-week", "1", "too-wide"),
        Case("/nextdoor", "1", "too-wide"),
        Case("/nexttime/next", "1", "too-wide"),
        Case(f"{first}/next/b", "1", "too-wide"),
        Case(second, "1", "any-value", "no"),
        Case(third, "1", "any-value", "yes-please"),
        Case("/next-week", "1", "any-value", ""),
    ]


LOOK = {
    "never-asked": "Routes are asked in order, and the first match decides: `lab.proxy().map()` shows the order.",
    "takes-all": "One of the routes to web-next is true of more than it should be.",
    "too-narrow": "Which of your routes should have matched it? Conditions within one match must all hold.",
    "too-wide": "Compare the kinds of path conditions in the table: some compare characters, one compares parts.",
    "any-value": "Which values of the header is your condition true of?",
}


def match(probe: Probe) -> Outcome:
    """m2-match: two kinds of requests go to version 2, all others to version 1."""
    proxy, running = serving(probe, "m2-match")
    replies: list[tuple[Case, Reply]] = []
    for case in cases():
        probe.progress(case.words)
        headers = {HEADER: case.header} if case.header is not None else None
        reply = proxy.send(case.path, headers, pod=running.pod, timeout=WAIT)
        replies.append((case, reply))
        if not reply.pod:
            return not_yet(
                "m2-match/no-answer",
                f"{case.words} was answered by {reply.who}"
                + (f" with status {reply.status}" if reply.status else "")
                + f": {reply.text.strip()[:120]}",
                case.words,
                "`lab.proxy().map()`: is there a route that matches, and has its cluster endpoints?",
            )
    wrong = misled([(case, reply.version) for case, reply in replies])
    if not wrong:
        return passed(
            f"{len(replies)} of {len(replies)} requests went to the version that they should.",
            "the answers' field version",
        )
    found, decisive = wrong[0]
    reply = next(reply for case, reply in replies if case is decisive)
    return not_yet(
        f"m2-match/{found}",
        f"{decisive.words} was answered by version {reply.version}, by the Pod {reply.pod}."
        + (f" {len(wrong)} of {len(replies)} requests went astray." if len(wrong) > 1 else ""),
        f"{decisive.words}, the answer's field version",
        LOOK[found],
    )


def misled(answered: Sequence[tuple[Case, str]]) -> list[tuple[str, Case]]:
    """The requests that went to the wrong version, each with what that tells, the most telling first."""
    none_arrive = all(version != "2" for _, version in answered)
    none_stay = all(version == "2" for _, version in answered)
    found = []
    for case, version in answered:
        if version != case.version:
            sign = "never-asked" if none_arrive else "takes-all" if none_stay else case.diagnostic
            found.append((sign, case))
    # Too much explains more than too little, and a path that is too wide more than a header.
    order = ("never-asked", "takes-all", "too-wide", "any-value", "too-narrow")
    return sorted(found, key=lambda each: order.index(each[0]))
