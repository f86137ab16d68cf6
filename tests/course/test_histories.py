"""Histories are the same for the same seed, hold what the exercise is about, and judge a cache after every event."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.course.lessons.histories import Cache, History, generated, run_history

SEEDS = range(24)


def follow(list_flocks: Any, watch_flocks: Any, cache: Cache) -> None:
    """A right answer."""
    while True:
        answer = list_flocks()
        cache.clear()
        cache.update({each["metadata"]["name"]: each for each in answer["items"]})
        version = answer["metadata"]["resourceVersion"]
        while version:
            for event in watch_flocks(version):
                now = event["object"]
                version = "" if event["type"] == "ERROR" else now["metadata"]["resourceVersion"]
                if event["type"] == "DELETED":
                    del cache[now["metadata"]["name"]]
                elif event["type"] in ("ADDED", "MODIFIED"):
                    cache[now["metadata"]["name"]] = now


def test_the_histories_hold_breaks_bookmarks_and_expiries() -> None:
    assert [generated(seed) for seed in SEEDS] == [generated(seed) for seed in SEEDS]
    kinds = {step[0] for seed in SEEDS for step in generated(seed)}
    assert kinds == {"set", "delete", "bookmark", "break", "expire", "forget"}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_right_answer_is_right_in_each(seed: int) -> None:
    assert run_history(follow, generated(seed)).problem == ""


def test_an_event_that_is_handled_late_is_found_at_once() -> None:
    def late(list_flocks: Any, watch_flocks: Any, cache: Cache) -> None:
        events = list(watch_flocks(list_flocks()["metadata"]["resourceVersion"]))
        cache.update({each["object"]["metadata"]["name"]: each["object"] for each in events})

    report = run_history(late, [("set", "hill"), ("set", "moor")])
    assert (report.problem, report.events) == ("lost-update", 1)


def test_a_catch_all_does_not_stop_the_end() -> None:
    def careless(list_flocks: Any, watch_flocks: Any, cache: Cache) -> None:
        try:
            follow(list_flocks, watch_flocks, cache)
        except Exception:
            pytest.fail("the end is no exception of the learner's")

    assert run_history(careless, [("set", "hill")]).problem == ""


def test_a_forgotten_version_is_answered_with_410() -> None:
    events = list(History([("set", "hill")]).watch("1"))
    assert [event["object"].get("code") for event in events] == [410]
