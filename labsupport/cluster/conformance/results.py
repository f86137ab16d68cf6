"""What a run of a suite came to, read from ginkgo's own report (JSON)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labsupport.errors import LabsError

REASON_LENGTH = 600  # characters of a failure's message that are kept


@dataclass(frozen=True)
class Test:
    """One test: its whole name, the group that keeps it, what became of it ("passed", "failed", "skipped"), and why."""

    name: str
    sig: str
    state: str
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Results:
    """A whole run. `wanted`: the tests that were chosen; those that were not run count as failed."""

    tests: tuple[Test, ...]
    wanted: int
    machine: Mapping[str, Any] = field(default_factory=dict)

    def count(self, state: str, sig: str | None = None) -> int:
        """The tests in this state, of one group or of all."""
        return sum(test.state == state and sig in (None, test.sig) for test in self.tests)

    @property
    def not_run(self) -> int:
        """Chosen tests of which nothing is known: the run was given up before their turn."""
        return max(0, self.wanted - sum(bool(test.sig) for test in self.tests))

    @property
    def failures(self) -> tuple[Test, ...]:
        """What failed; one more entry for all tests that were not run."""
        failed = [test for test in self.tests if test.state == "failed"]
        if self.not_run:
            failed.append(
                Test(f"{self.not_run} tests", "", "failed", "not run: the run ended before their turn")
            )
        return tuple(failed)

    @property
    def ok(self) -> bool:
        """Whether something ran and nothing failed."""
        return bool(self.count("passed")) and not self.failures

    def as_dict(self) -> dict[str, Any]:
        """The JSON form (`labs conformance kubernetes --json`)."""
        sigs = sorted({test.sig for test in self.tests if test.sig})
        return {
            "passed": self.count("passed"),
            "failed": self.count("failed") + self.not_run,
            "skipped": self.count("skipped"),
            "failures": [{"test": test.name, "reason": test.reason} for test in self.failures],
            "skips": [
                {"test": test.name, "reason": test.reason} for test in self.tests if test.state == "skipped"
            ],
            "sigs": {
                sig: {state: self.count(state, sig) for state in ("passed", "failed", "skipped")}
                for sig in sigs
            },
            **self.machine,
        }


def read(file: Path, machine: Mapping[str, Any]) -> Results:
    """ginkgo's report. LabsError when there is none or it is not one."""
    try:
        reports = json.loads(file.read_bytes())
        return Results(
            tests=tuple(test for report in reports for test in _tests(report["SpecReports"] or ())),
            wanted=sum(report["PreRunStats"]["SpecsThatWillRun"] for report in reports),
            machine=machine,
        )
    except FileNotFoundError:
        raise LabsError("the suite ended without a report") from None
    except (ValueError, KeyError, TypeError) as error:
        raise LabsError(f"the suite's report cannot be read: {type(error).__name__}: {error}") from error


def _tests(entries: Iterable[Mapping[str, Any]]) -> Iterable[Test]:
    """The tests that ran or skipped themselves, and what went wrong around them.

    A test that was not chosen is "skipped" too; it has no message. What is before and after the suite has no name and
    counts only when it failed.
    """
    for entry in entries:
        failure = entry.get("Failure") or {}
        is_test = entry["LeafNodeType"] == "It"
        state = {"passed": "passed", "skipped": "skipped", "pending": "skipped"}.get(entry["State"], "failed")
        if (not is_test and state != "failed") or (state == "skipped" and not failure.get("Message")):
            continue
        texts = [
            *(entry.get("ContainerHierarchyTexts") or ()),
            entry.get("LeafNodeText") or entry["LeafNodeType"],
        ]
        name = " ".join(text for text in texts if text)
        reason = f"{entry['State']}: " if entry["State"] not in ("passed", "failed", "skipped") else ""
        reason += " ".join(str(failure.get("Message", "")).split())
        yield Test(
            name=name,
            sig=_sig(entry) if is_test else "",
            state=state,
            reason=reason[:REASON_LENGTH] if state != "passed" else "",
            seconds=entry.get("RunTime", 0) / 1e9,
        )


def _sig(entry: Mapping[str, Any]) -> str:
    labels = [label for group in entry.get("ContainerHierarchyLabels") or () for label in group or ()]
    return next((label for label in labels if label.startswith("sig-")), "none")


def describe(results: Results) -> str:
    """The results as a person reads them."""
    data = results.as_dict()
    lines = [f"{'':22}  PASSED  FAILED  SKIPPED"]
    rows = [*data["sigs"].items(), ("all", data)]
    lines += [f"{name:22}  {row['passed']:6}  {row['failed']:6}  {row['skipped']:7}" for name, row in rows]
    for test in results.failures:
        lines += ["", f"failed: {test.name}", f"        {test.reason}"]
    return "\n".join(lines)
