"""What the machine told, as records, and the table made of them: pure functions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

MARK = "@@ "  # begins a line that is a record (inside/start, inside/walk.py)
# What the kernel says when something went wrong that a user's commands need not notice.
GRAVE = (
    'apparmor="DENIED"',
    "Out of memory:",
    "oom-kill:",
    "BUG:",
    "Oops:",
    "segfault at",
    "general protection fault",
)

# A container that passed its own limit of memory, as the walk has one do.
OF_A_POD = ("oom-kill:constraint=CONSTRAINT_MEMCG", "/kubepods/")


@dataclass(frozen=True)
class Step:
    """One step of the walk. `peak_mb`: the machine's memory in use, at most."""

    name: str
    ok: bool
    seconds: float
    peak_mb: int
    detail: str


@dataclass(frozen=True)
class Report:
    """A whole run. `status`: of the script in the machine; None where it did not come to its end."""

    debian: str
    accelerator: str = ""
    seconds: float = 0.0
    boot_seconds: float | None = None
    host_mb: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    status: int | None = None
    kernel: tuple[str, ...] = ()
    trouble: str = ""

    @property
    def ok(self) -> bool:
        """Whether all held."""
        return (
            bool(self.steps)
            and self.status == 0
            and not self.trouble
            and not self.kernel
            and all(step.ok for step in self.steps)
        )

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"ok": self.ok, **asdict(self)}


def record(line: str) -> dict[str, Any] | None:
    """The record in a line of the machine's port; None for anything else."""
    if not line.startswith(MARK):
        return None
    try:
        content = json.loads(line[len(MARK) :])
    except ValueError:
        return None  # cut off
    return content if isinstance(content, dict) and "event" in content else None


def collect(lines: Iterable[str]) -> tuple[dict[str, Any], tuple[Step, ...], int | None]:
    """Facts, steps, and the script's status (None: no end was told) from all that the machine said."""
    facts: dict[str, Any] = {}
    steps: list[Step] = []
    status: int | None = None
    for entry in filter(None, map(record, lines)):
        values = {key: value for key, value in entry.items() if key != "event"}
        if entry["event"] == "facts":
            facts = values
        elif entry["event"] == "step":
            steps.append(Step(**values))
        elif entry["event"] == "end":
            status = int(values["status"])
    return facts, tuple(steps), status


def grave(console: str) -> tuple[str, ...]:
    """The lines of the kernel's console that tell of something that went wrong, each once."""
    found = (line.strip() for line in console.splitlines() if any(mark in line for mark in GRAVE))
    return tuple(line for line in dict.fromkeys(found) if not all(mark in line for mark in OF_A_POD))


def progress(line: str) -> str:
    """A line as a person follows it: records become sentences."""
    entry = record(line)
    if entry is None:
        return f"    {line}"
    if entry["event"] == "step":
        word = "ok" if entry["ok"] else "FAILED"
        return f"  {word:6}  {entry['name']} ({entry['seconds']} s, {entry['peak_mb']} MB): {entry['detail']}"
    if entry["event"] == "facts":
        return "\n".join(f"          {key:38} {value}" for key, value in entry.items() if key != "event")
    return f"  ...     {entry['event']}: " + ", ".join(
        f"{key} {entry[key]}" for key in entry if key != "event"
    )


def describe(report: Report) -> str:
    """The table at the end."""
    facts = report.facts
    head = f"Debian {report.debian}, Linux {facts.get('kernel', '?')}, Python {facts.get('python', '?')}, "
    head += (
        f"{facts.get('processors', '?')} processors, {facts.get('memory_mb', '?')} MB, {report.accelerator}"
    )
    lines = [head, "", f"{'STEP':20}  SECONDS  PEAK MB  RESULT"]
    if report.boot_seconds is not None:
        lines.append(f"{'boot to session':20}  {report.boot_seconds:7.1f}  {'':7}  ok")
    for step in report.steps:
        word = "ok" if step.ok else "FAILED"
        lines.append(f"{step.name:20}  {step.seconds:7.1f}  {step.peak_mb:7}  {word}: {step.detail}")
    lines += ["", f"In all {report.seconds:.0f} s; the machine's process had {report.host_mb} MB at most."]
    lines += [f"The kernel said: {line}" for line in report.kernel]
    if report.trouble:
        lines.append(report.trouble)
    elif report.status is None:
        lines.append("The script's end was not told.")
    lines.append("All held." if report.ok else "Not all held.")
    return "\n".join(lines)
