"""What a run of the Gateway API's suite came to: its own report (YAML), and what its test program printed.

The report counts tests for each profile, so that one of two profiles counts twice and one whose features no profile
lists is not in it at all; and of a failed test it has the name alone. The printed text has each test once, and why.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from labsupport.errors import LabsError

REASON_LENGTH = 600  # characters of a failure's reason that are kept
ROOT = "TestConformance"
OF_THE_MESH = "Mesh"  # begins the names of the tests that a mesh is for; all others are skipped

_BEGUN = re.compile(rf"=== RUN +{ROOT}/({OF_THE_MESH}\w+)$")
_SECTION = re.compile(r"=== (?:RUN|NAME|CONT|PAUSE) +(\S+)$")
_ENDED = re.compile(r" *--- (PASS|FAIL|SKIP): (\S+) \(([\d.]+)s\)$")
_SAID = re.compile(r"    [\w.-]+\.go:\d+: (?:[\dT:.-]+Z: )?(.*)$")
# What the suite says as it goes along, also where all is well.
_NO_REASON = (
    "Got resp",
    "Request passed",
    "Deleting ",
    "Creating ",
    "Updating ",
    "Applying ",
    "Processed ",
    "Running ",
)
# What it says when it gives up: why stands before it.
_GIVEN_UP = ("timeout while waiting", "Weighted distribution tests failed")
_STATES = {"PASS": "passed", "FAIL": "failed", "SKIP": "skipped"}


@dataclass(frozen=True)
class Test:
    """One test: its name, what became of it ("passed", "failed", "skipped"), and why."""

    name: str
    state: str
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Status:
    """How many tests of one level of a profile passed, failed and were skipped, as the report has it."""

    passed: int
    failed: int
    skipped: int


@dataclass(frozen=True)
class Profile:
    """A profile of the report. `features` are the extended ones that were claimed, `missing` those that were not."""

    name: str
    core: Status
    extended: Status | None
    features: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Results:
    """A whole run; `machine`: what else is to be known of it."""

    tests: tuple[Test, ...]
    profiles: tuple[Profile, ...]
    machine: Mapping[str, Any] = field(default_factory=dict)

    def count(self, state: str) -> int:
        """The tests in this state."""
        return sum(test.state == state for test in self.tests)

    @property
    def failures(self) -> tuple[Test, ...]:
        """What failed."""
        return tuple(test for test in self.tests if test.state == "failed")

    @property
    def ok(self) -> bool:
        """Whether something ran and nothing failed."""
        return bool(self.count("passed")) and not self.failures

    def and_also(self, test: Test) -> Results:
        """The same with one more test."""
        return replace(self, tests=(*self.tests, test))

    def as_dict(self) -> dict[str, Any]:
        """The JSON form (`labs conformance mesh --json`)."""
        return {
            "passed": self.count("passed"),
            "failed": self.count("failed"),
            "skipped": self.count("skipped"),
            "failures": [{"test": test.name, "reason": test.reason} for test in self.failures],
            "skips": [
                {"test": test.name, "reason": test.reason} for test in self.tests if test.state == "skipped"
            ],
            "profiles": {
                each.name: {
                    "core": vars(each.core),
                    "extended": vars(each.extended) if each.extended else None,
                    "features": list(each.features),
                    "missing": list(each.missing),
                }
                for each in self.profiles
            },
            "tests": {test.name: test.seconds for test in self.tests if test.state == "passed"},
            **self.machine,
        }


def read(report: Path, console: str, machine: Mapping[str, Any]) -> Results:
    """The report and the printed text of a run. LabsError when there is no report, or one that cannot be read."""
    try:
        content = yaml.safe_load(report.read_text())
        profiles = sorted(
            (_profile(entry) for entry in content["profiles"] or ()), key=lambda each: each.name
        )
        failed = {name for entry in content["profiles"] or () for name in _failed(entry)}
    except FileNotFoundError:
        raise LabsError(f"the suite ended without a report: {_last_words(console)}") from None
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise LabsError(f"the suite's report cannot be read: {type(error).__name__}: {error}") from error
    tests = tuple(_tests(console))
    # The report decides: what it calls failed has failed, whatever was printed.
    tests = tuple(
        replace(test, state="failed") if test.name in failed and test.state != "failed" else test
        for test in tests
    )
    unknown = failed - {test.name for test in tests}
    return Results((*tests, *(Test(name, "failed") for name in sorted(unknown))), tuple(profiles), machine)


def _profile(entry: Mapping[str, Any]) -> Profile:
    extended = entry.get("extended") or {}
    return Profile(
        name=str(entry["name"]),
        core=_status(entry["core"]),
        extended=_status(extended) if extended else None,
        features=tuple(extended.get("supportedFeatures") or ()),
        missing=tuple(extended.get("unsupportedFeatures") or ()),
    )


def _status(entry: Mapping[str, Any]) -> Status:
    counts = entry["statistics"]
    return Status(int(counts["Passed"]), int(counts["Failed"]), int(counts["Skipped"]))


def _failed(entry: Mapping[str, Any]) -> Iterator[str]:
    for level in ("core", "extended"):
        yield from (entry.get(level) or {}).get("failedTests") or ()


def _tests(console: str) -> Iterator[Test]:
    """The mesh's tests as they were printed; where something around them failed, the suite itself as one more."""
    ended = [match for line in console.splitlines() if (match := _ENDED.fullmatch(line))]
    states = {name: (state, float(seconds)) for state, name, seconds in (match.groups() for match in ended)}
    said = _said(console)
    failed_one = False
    for name, (state, seconds) in states.items():
        root, _, test = name.partition("/")
        if root != ROOT or not test.startswith(OF_THE_MESH) or "/" in test:
            continue
        # The time of parts that ran side by side is not in the whole's.
        longest = max([seconds, *(more for part, (_, more) in states.items() if part.startswith(f"{name}/"))])
        failed_one |= state == "FAIL"
        reason = "" if state == "PASS" else _reason(name, states, said)
        yield Test(test, _STATES[state], reason[:REASON_LENGTH], longest)
    if states.get(ROOT, ("PASS", 0.0))[0] == "FAIL" and not failed_one:
        yield Test("the suite itself", "failed", "; ".join(said.get(ROOT, [])[-2:])[:REASON_LENGTH])


def _said(console: str) -> dict[str, list[str]]:
    """What each test printed, by the test's whole name; lines that continue one are joined to it."""
    said: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in console.splitlines():
        if section := _SECTION.fullmatch(line):
            lines = said.setdefault(section.group(1), [])
        elif message := _SAID.fullmatch(line):
            lines.append(message.group(1).strip())
        elif _ENDED.fullmatch(line):
            lines = []
        elif lines and line.startswith("        ") and line.strip() and not lines[-1].startswith(_NO_REASON):
            lines[-1] = f"{lines[-1]} {' '.join(line.split())}".strip()
    return {
        name: [line for line in lines if line and not line.startswith(_NO_REASON)]
        for name, lines in said.items()
    }


def _reason(name: str, states: Mapping[str, tuple[str, float]], said: Mapping[str, list[str]]) -> str:
    """The last thing of substance that each failed part of a test said, or the test where it has no parts."""
    parts = [part for part, (state, _) in states.items() if state == "FAIL" and part.startswith(f"{name}/")]
    if not parts:
        return _last(said.get(name, []))
    return " | ".join(
        f"{part.removeprefix(f'{name}/').replace('_', ' ')}: {_last(said.get(part, []))}" for part in parts
    )


def _last(lines: Sequence[str]) -> str:
    return next((line for line in reversed(lines) if not line.startswith(_GIVEN_UP)), "".join(lines[-1:]))


def _last_words(console: str) -> str:
    lines = [" ".join(line.split()) for line in console.splitlines() if line.strip()]
    # A test program that was given up prints the stacks of all its threads after the reason.
    panics = [line for line in lines if line.startswith("panic: ")]
    return "; ".join(panics[:1] or lines[-4:])[:REASON_LENGTH] or "it said nothing"


class Counter:
    """Which test runs, from what the program prints; `show` gets a line about each."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self.begun = 0

    def line(self, line: str) -> None:
        """A line that the program printed."""
        if match := _BEGUN.fullmatch(line):
            self.begun += 1
            self._show(f"test {self.begun}: {match.group(1)}")


def describe(results: Results) -> str:
    """The results as a person reads them."""
    lines = [f"{'':22}  PASSED  FAILED  SKIPPED"]
    rows = [
        (f"{each.name} {level}", status)
        for each in results.profiles
        for level, status in (("core", each.core), ("extended", each.extended))
        if status is not None
    ]
    # One test may be of two profiles, or of none.
    rows.append(("all tests", Status(*(results.count(state) for state in ("passed", "failed", "skipped")))))
    lines += [f"{name:22}  {row.passed:6}  {row.failed:6}  {row.skipped:7}" for name, row in rows]
    if missing := sorted({name for each in results.profiles for name in each.missing}):
        lines.append(f"not claimed: {', '.join(missing)}")
    for test in results.failures:
        lines += ["", f"failed: {test.name}", f"        {test.reason}"]
    return "\n".join(lines)
