"""The election in virtual time: a right candidate is never blamed, each kind of wrong one is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from labsupport.course.lessons.electing import KINDS, PROMISED, another, run_electing

SEEDS = range(48)
DEADLINE = 4


def candidate(change: Callable[[dict[str, Any]], None] = lambda settings: None) -> Callable[..., Any]:
    """A candidate by the rules, apart from what `change` alters."""
    settings: dict[str, Any] = {
        "gives up": True,
        "patience": None,
        "acts": DEADLINE,
        "from": "asked",
        "since": "read",
    }
    change(settings)

    def elect(lease: Any, me: str, note: dict[str, Any], clock: Callable[[], float], leaving: bool) -> Any:
        began = clock()
        spec = lease.read()
        holder = spec.get("holderIdentity")
        if leaving:
            if holder == me and settings["gives up"]:
                lease.write({"holderIdentity": ""})
            return None
        if note.get("seen") != (seen := (holder, spec.get("renewTime"))):
            note.update(seen=seen, at=clock() if settings["since"] == "read" else began)
        patience = settings["patience"] or spec.get("leaseDurationSeconds", 0)
        if holder not in (None, "", me) and began - note["at"] < patience:
            return None
        promise = {"holderIdentity": me, "leaseDurationSeconds": PROMISED, "renewTime": lease.stamp()}
        if not lease.write(promise):
            return None
        return (began if settings["from"] == "asked" else clock()) + settings["acts"]

    return elect


def test_a_candidate_by_the_rules_is_right_in_all_schedules() -> None:
    assert run_electing(candidate(), range(160)) is None


def test_candidates_that_promise_longer_are_right_as_well() -> None:
    assert run_electing(another, SEEDS) is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"gives up": False}, "keeps-it"),
        ({"patience": 1}, "impatient"),
        ({"patience": PROMISED}, "impatient"),  # another make promises twice that
        ({"patience": 60}, "nobody"),
        ({"since": "asked"}, "impatient"),
        ({"from": "answered"}, "two-leaders"),
        ({"acts": PROMISED}, "two-leaders"),
        ({"acts": -1}, "nobody"),
    ],
)
def test_what_breaks_the_rules_is_found(change: dict[str, Any], problem: str) -> None:
    found = run_electing(candidate(lambda settings: settings.update(change)), SEEDS)
    assert found is not None
    assert found.problem == problem


def test_results_that_are_no_time_and_endless_requests_are_found() -> None:
    def talks(lease: Any, *_: Any) -> Any:
        return "now"

    def asks(lease: Any, *_: Any) -> Any:
        while True:
            lease.read()

    for function, problem in ((talks, "no-time"), (asks, "endless-requests")):
        found = run_electing(function, SEEDS)
        assert found is not None
        assert found.problem == problem


def test_what_a_candidate_raises_is_raised() -> None:
    def fails(*_: Any) -> Any:
        raise KeyError("holderIdentity")

    with pytest.raises(KeyError):
        run_electing(fails, SEEDS)


def test_there_are_schedules_of_each_kind_and_both_makes_lead_first() -> None:
    assert len({seed % len(KINDS) for seed in SEEDS}) == len(KINDS)
