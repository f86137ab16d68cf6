"""Lab O5's gates in memory: the right one passes, and each thing that a gate may overlook is found under its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from labsupport.course.lessons import gates
from labsupport.operators.fleet import Look

SEEDS = range(12)


def test_the_right_gate_passes() -> None:
    assert gates.run_gate(gates.right, SEEDS) is None


OVERLOOKS: dict[str, Callable[[Look], Look]] = {
    "not-ready": lambda each: replace(each, ready=True),
    "another-member": lambda each: replace(each, id=each.was),
    "not-heard": lambda each: replace(each, heard=True),
    "behind": lambda each: replace(each, caught_up=True),
    "protocol": lambda each: replace(each, speaks=(0, 9)),
    "share": lambda each: replace(each, holder=False),
}


@pytest.mark.parametrize("problem", OVERLOOKS)
def test_what_a_gate_overlooks_is_named(problem: str) -> None:
    def gate(looks: list[Look], limit: float) -> str:
        return gates.right([OVERLOOKS[problem](each) for each in looks], limit)

    found = gates.run_gate(gate, SEEDS)
    assert found is not None
    assert found.problem == problem


@pytest.mark.parametrize(
    ("gate", "problem"),
    [
        (lambda looks, limit: gates.right(looks[-1:] * 3, limit), "steady"),
        (lambda looks, limit: "wait", "never"),
        (lambda looks, limit: "back", "too-soon"),
        (lambda looks, limit: gates.right(looks, limit + 0.5), "late"),
        (lambda looks, limit: gates.right(looks, limit - 0.5), "too-soon"),
        (lambda looks, limit: gates.right([replace(each, holder=True) for each in looks], limit), "never"),
        (lambda looks, limit: None, "no-answer"),
        (lambda looks, limit: True, "no-answer"),
    ],
)
def test_each_wrong_answer_is_named(gate: gates.Gate, problem: str) -> None:
    found = gates.run_gate(gate, SEEDS)
    assert found is not None
    assert found.problem == problem


def test_a_gate_may_look_at_words_only() -> None:
    told: list[Any] = []
    gates.run_gate(lambda looks, limit: told.append((looks, limit)) or gates.right(looks, limit), SEEDS)
    assert {limit for _, limit in told} == {6.0, 10.0, 20.0}
