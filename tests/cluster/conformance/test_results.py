from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from labsupport.cluster.conformance import results
from labsupport.cluster.conformance.progress import Counter
from labsupport.errors import LabsError


def spec(state: str, sig: str, name: str, message: str = "", kind: str = "It") -> dict[str, Any]:
    """One entry as ginkgo writes it."""
    entry: dict[str, Any] = {
        "ContainerHierarchyTexts": [f"[{sig}] Things"] if sig else None,
        "ContainerHierarchyLabels": [[sig, "Slow"]] if sig else None,
        "LeafNodeType": kind,
        "LeafNodeText": name,
        "State": state,
        "RunTime": 2_500_000_000,
    }
    if message:
        entry["Failure"] = {"Message": message}
    return entry


def report(tmp_path: Path, wanted: int, *specs: dict[str, Any]) -> results.Results:
    file = tmp_path / "report.json"
    content = [{"PreRunStats": {"TotalSpecs": 7000, "SpecsThatWillRun": wanted}, "SpecReports": list(specs)}]
    file.write_text(json.dumps(content))
    return results.read(file, {"kubernetes": "1.37.2"})


def test_states_are_counted_by_group(tmp_path: Path) -> None:
    found = report(
        tmp_path,
        4,
        spec("passed", "sig-node", "runs"),
        spec("failed", "sig-node", "breaks", "expected\n  this"),
        spec("timedout", "sig-apps", "hangs", "too long"),
        spec("skipped", "sig-apps", "needs two nodes", "Requires at least 2 nodes"),
        spec("skipped", "sig-apps", "was not chosen"),
    )
    data = found.as_dict()
    assert (data["passed"], data["failed"], data["skipped"]) == (1, 2, 1)
    assert data["failures"] == [
        {"test": "[sig-node] Things breaks", "reason": "expected this"},
        {"test": "[sig-apps] Things hangs", "reason": "timedout: too long"},
    ]
    assert data["sigs"]["sig-apps"] == {"passed": 0, "failed": 1, "skipped": 1}
    assert data["kubernetes"] == "1.37.2"
    assert not found.ok
    assert "[sig-node] Things breaks" in results.describe(found)


def test_what_was_not_run_counts_as_failed(tmp_path: Path) -> None:
    found = report(tmp_path, 3, spec("passed", "sig-node", "runs"))
    data = found.as_dict()
    assert (data["passed"], data["failed"]) == (1, 2)
    assert "not run" in data["failures"][0]["reason"]
    assert not found.ok


def test_a_failure_around_the_tests_counts_too(tmp_path: Path) -> None:
    found = report(
        tmp_path,
        1,
        spec("passed", "", "", kind="SynchronizedBeforeSuite"),
        spec("passed", "sig-node", "runs"),
        spec("failed", "", "", "no node is ready", kind="SynchronizedAfterSuite"),
    )
    assert [test.name for test in found.failures] == ["SynchronizedAfterSuite"]
    assert found.as_dict()["failed"] == 1


def test_only_a_run_of_something_is_a_success(tmp_path: Path) -> None:
    assert report(tmp_path, 1, spec("passed", "sig-node", "runs")).ok
    assert not report(tmp_path, 0).ok


def test_no_report_and_a_broken_one_are_told(tmp_path: Path) -> None:
    with pytest.raises(LabsError, match="without a report"):
        results.read(tmp_path / "absent.json", {})
    (tmp_path / "broken.json").write_text('[{"SpecReports": [{}]}]')
    with pytest.raises(LabsError, match="cannot be read"):
        results.read(tmp_path / "broken.json", {})


def test_progress_counts_the_tests_that_ginkgo_marks() -> None:
    said: list[str] = []
    counter = Counter(said.append)
    for line in ("Running Suite", "• [5.250 seconds]", "• [FAILED] [2.000 seconds]", "  • [not at the start"):
        counter.line(line)
    assert said == ["1 tests ended, 0 failed", "2 tests ended, 1 failed"]
