"""CI's last line: what it counts, and that a stage that failed quietly is counted too."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

CI = Path(__file__).resolve().parent.parent / ".ci"


@pytest.fixture(scope="module")
def summary() -> ModuleType:
    loader = SourceFileLoader("ci_summary", str(CI / "summary"))
    spec = importlib.util.spec_from_loader("ci_summary", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def junit(path: Path, *, tests: int, failures: int = 0, errors: int = 0, skipped: int = 0) -> None:
    counts = f'tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}"'
    path.write_text(f"<testsuites><testsuite {counts}></testsuite></testsuites>")


def last_line(
    summary: ModuleType, results: Path, capsys: pytest.CaptureFixture[str], statuses: tuple[int, ...] = (0, 0)
) -> tuple[int, str]:
    status = summary.main(results, list(statuses))
    return status, capsys.readouterr().out.splitlines()[-1]


def test_all_stages_are_summed(
    summary: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stages.tsv").write_text("unit\t3.2\t0\nlint\t9.0\t0\nbrowser\t20.5\t1\n")
    junit(tmp_path / "unit.xml", tests=10, skipped=2)
    junit(tmp_path / "browser.xml", tests=4, failures=1, errors=1)
    assert last_line(summary, tmp_path, capsys) == (1, "11 passed, 2 failed, 2 skipped")


def test_success_is_zero(summary: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "stages.tsv").write_text("unit\t3.2\t0\n")
    junit(tmp_path / "unit.xml", tests=3)
    assert last_line(summary, tmp_path, capsys) == (0, "3 passed, 0 failed, 0 skipped")


def test_stages_that_could_not_start_count(
    summary: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stages.tsv").write_text("unit\t3.2\t0\n")
    junit(tmp_path / "unit.xml", tests=3)
    assert last_line(summary, tmp_path, capsys, (0, 2)) == (1, "3 passed, 1 failed, 0 skipped")


@pytest.mark.parametrize("xml", ["", "<broken", '<testsuites><testsuite tests="0"/></testsuites>'])
def test_a_stage_that_failed_without_a_failed_test_counts(
    summary: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], xml: str
) -> None:
    (tmp_path / "stages.tsv").write_text("unit\t3.2\t5\n")
    if xml:
        (tmp_path / "unit.xml").write_text(xml)
    assert last_line(summary, tmp_path, capsys) == (1, "0 passed, 1 failed, 0 skipped")


def test_nothing_at_all_is_a_failure(
    summary: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert last_line(summary, tmp_path, capsys) == (1, "0 passed, 1 failed, 0 skipped")


def stage(tmp_path: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CI / "stage", *words],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=20,
    )


def test_a_stage_keeps_its_status_and_time(tmp_path: Path) -> None:
    assert stage(tmp_path, "one", "true").returncode == 0
    assert stage(tmp_path, "two", "sh", "-c", "exit 3").returncode == 3
    assert stage(tmp_path, "one", "true").returncode == 0, "again: the earlier row goes"
    rows = [line.split("\t") for line in (tmp_path / "test-results/stages.tsv").read_text().splitlines()]
    assert [(row[0], row[2]) for row in rows] == [("two", "3"), ("one", "0")]
    assert all(0 <= float(row[1]) < 10 for row in rows)


def test_a_stage_that_cannot_run_is_skipped_by_name(
    summary: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stage(tmp_path, "one", "true").returncode == 0
    assert stage(tmp_path, "kind", "sh", "-c", "exit 77").returncode == 0
    assert summary.main(tmp_path / "test-results", [0, 0]) == 0
    said = capsys.readouterr().out
    assert "stage kind was skipped" in said
    assert said.splitlines()[-1] == "1 passed, 0 failed, 1 skipped"


def test_a_stage_that_hangs_is_ended(tmp_path: Path) -> None:
    done = stage(tmp_path, "slow", "sleep", "30", STAGE_LIMIT="0.2")
    assert done.returncode == 124


def test_a_stage_of_pytest_writes_junit(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it():\n    pass\n")
    done = stage(
        tmp_path, "unit", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"
    )
    assert done.returncode == 0, done.stdout
    assert 'tests="1"' in (tmp_path / "test-results/unit.xml").read_text()
