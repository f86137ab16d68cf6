"""Deadlines grow by a factor, and never shrink or vanish."""

from __future__ import annotations

import subprocess
import sys

import pytest

from labsupport.patience import VARIABLE, patient


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, 90),
        ("", 90),
        ("4", 360),
        ("1.5", 135),
        ("0.1", 90),
        ("-3", 90),
        ("nan", 90),
        ("inf", 90),
        ("much", 90),
    ],
)
def test_deadlines_only_grow(given: str | None, expected: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if given is not None:
        monkeypatch.setenv(VARIABLE, given)
    assert patient(90) == expected


def test_waiting_for_a_cluster_is_patient() -> None:
    program = "from labsupport.cluster.embedded import readiness; print(readiness.API_SECONDS, readiness.READY_SECONDS)"
    done = subprocess.run(
        [sys.executable, "-c", program], env={VARIABLE: "10"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["900.0", "900.0"]
