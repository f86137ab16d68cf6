"""The exercises table at the end of a run, and as JSON beside the other results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from labsupport.paths import REPOSITORY

if TYPE_CHECKING:
    from labsupport.course.proofs.content import ExerciseResult

_results = pytest.StashKey[list["ExerciseResult"]]()


@pytest.fixture(scope="session")
def exercises_table(request: pytest.FixtureRequest) -> Iterator[list[ExerciseResult]]:
    """What was proven; shown when all is done."""
    results: list[ExerciseResult] = []
    request.config.stash[_results] = results
    yield results
    directory = REPOSITORY / "test-results"
    if directory.is_dir():
        data = {"exercises": [result.as_dict() for result in results]}
        (directory / "exercises.json").write_text(json.dumps(data, indent=2, ensure_ascii=False))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    results = config.stash.get(_results, [])
    if results:
        from labsupport.course.proofs.content import table

        terminalreporter.section("exercises")
        terminalreporter.write_line(table(results))
