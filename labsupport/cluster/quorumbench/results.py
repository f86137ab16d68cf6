"""What was found: kept line by line, summed up by fault, and as a person reads it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labsupport.console import note


def keep(found: dict[str, Any], file: Path | None) -> None:
    """Say what was found, and add it to the file as a line of JSON."""
    told = json.dumps(found)
    note(f"  {found['name']}: {told}")
    if file is not None:
        with file.open("a", encoding="utf-8") as to:
            to.write(told + "\n")


def read(file: Path | None) -> list[dict[str, Any]]:
    """What a file has already; nothing if there is none."""
    if file is None or not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def summary(name: str, done: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All runs of one fault as one. Where an operator died after each write, also after which ones."""
    runs = [each for each in done if each["name"] == name]
    gaps = [each["gap_s"] for each in runs]
    found = {
        "name": name,
        "runs": len(runs),
        "acknowledged": sum(each["acknowledged"] for each in runs),
        "lost": sum(each["lost"] for each in runs),
        "refused": sum(each["refused"] for each in runs),
        "leaderless_s": {"median": statistics.median(gaps), "max": max(gaps)},
        "operations": sum(each["operations"] for each in runs),
        "linearizable": all(each["linearizable"] for each in runs),
        "final_state_ok": all(each["final_state_ok"] for each in runs),
    }
    lived = [each for each in runs if "writes" in each]
    if lived:
        found["writes"] = lived[0]["writes"]
        found["undisturbed_leaderless_s"] = lived[0]["gap_s"]
        found["killed_after"] = sorted(each["run"] for each in runs if each.get("died"))
        found["outlived"] = sorted(each["run"] for each in runs if each.get("died") is False)
    return found


def describe(found: dict[str, Any]) -> str:
    """What was seen, as a person reads it."""
    head = f"{'fault':26} {'runs':>4} {'confirmed':>9} {'lost':>4} {'given up':>8} {'without a leader, s':>20} history"
    lines = [head]
    for each in found["faults"]:
        gap = each["leaderless_s"]
        verdict = "linearizable" if each["linearizable"] else "NOT LINEARIZABLE"
        wrong = "" if each["final_state_ok"] else "  WRONG IN THE END"
        lines.append(
            f"{each['name']:26} {each['runs']:4} {each['acknowledged']:9} {each['lost']:4} {each['refused']:8} "
            f"{gap['median']:9.2f} (max {gap['max']:.2f}) "
            f"{each['operations']} operations, {verdict}{_deaths(each)}{wrong}"
        )
    lines.append("without a leader: the longest time in which no client's write was confirmed")
    return "\n".join(lines)


def _deaths(each: dict[str, Any]) -> str:
    if "writes" not in each:
        return ""
    lived = f", {_ranges(each['outlived'])} not reached" if each["outlived"] else ""
    return f"; died after writes {_ranges(each['killed_after'])} of {each['writes']}{lived}"


def _ranges(numbers: Sequence[int]) -> str:
    """1, 2, 3, 7: "1-3, 7"."""
    spans: list[list[int]] = []
    for each in numbers:
        if spans and each == spans[-1][1] + 1:
            spans[-1][1] = each
        else:
            spans.append([each, each])
    return ", ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in spans) or "none"
