"""The course's figures: computed rightly, in stable keys, and a broken promise is said."""

from __future__ import annotations

import os

import psutil
import pytest

from labsupport.course.manifest import find_lab
from labsupport.course.proofs import bench
from labsupport.course.proofs.bench import (
    Memory,
    Result,
    Sample,
    answers,
    describe,
    kept,
    own_record,
    pss_mb,
    spread,
)


def samples(*seconds: float) -> list[Sample]:
    return [Sample(f"s{number}", each) for number, each in enumerate(seconds)]


def test_the_spread_is_interpolated_between_ranks() -> None:
    found = spread(samples(*(number / 100 for number in range(101))))
    assert found is not None
    assert (found["count"], found["min"], found["p50"], found["p95"], found["max"]) == (101, 0, 0.5, 0.95, 1)
    assert found["slowest"] == "s100"
    one = spread(samples(0.3))
    assert one is not None
    assert one["p50"] == one["p95"] == 0.3
    assert spread([]) is None


@pytest.mark.parametrize(("name", "limit"), bench.PROMISED.items())
def test_a_promise_is_kept_or_not(name: str, limit: float) -> None:
    assert kept(name, samples(limit)) is True
    assert kept(name, samples(limit, limit * 3)) is False
    assert kept(name, []) is None


def test_the_forms_say_the_same() -> None:
    result = Result(
        live_pass=samples(1.0, 4.0),
        start=samples(2.0),
        memory=[Memory("o1", 300, 70, 60), Memory("o2", 320, 70, 66)],
        unexpected=["o1-x: not_yet"],
        exercises=2,
        answers=9,
    )
    data = result.as_dict()
    assert data["live_s"]["pass"]["max"] == 4.0
    assert data["kept"] == {"offline": None, "live_pass": False, "live_not_yet": None, "start": True}
    assert data["memory_mb"]["total"] == {"min": 430, "p50": 443, "max": 456}
    text = describe(result)
    for part in ("3 s: NOT KEPT", "6 s: kept", "nothing was measured", "456", "o1-x: not_yet"):
        assert part in text


def test_every_kept_answer_of_an_exercise_is_measured() -> None:
    lab = find_lab("00")
    found = list(answers(lab, lab.exercises[0]))
    wanted = 2 + len(lab.exercises[0].second) + len(lab.exercises[0].wrong)
    assert len(found) == wanted
    assert [verdict for _, verdict in found].count("pass") == 1 + len(lab.exercises[0].second)


def test_the_learners_record_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/the/learner's")
    with own_record():
        assert os.environ["XDG_DATA_HOME"] != "/the/learner's"
    assert os.environ["XDG_DATA_HOME"] == "/the/learner's"


def test_memory_is_that_of_the_processes() -> None:
    me = psutil.Process()
    once = pss_mb([me])
    assert 5 < once <= me.memory_info().rss / 2**20 * 1.05
    assert pss_mb([me, me]) == pytest.approx(2 * once, rel=0.1)
