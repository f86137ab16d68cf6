"""`labs bench quorum --faults`: what a Quorum does when things break under load; what was confirmed must be there."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

QUIET = 3.0  # seconds of load before a fault, and after it


def measure(faults: Sequence[str] = (), runs: int = 1, resume: Path | None = None) -> dict[str, Any]:
    """Each of the faults (all, if none is named) `runs` times, on a cluster of its own.

    `resume`: a file to which each run is added as it ends; what is in it already is not done again.
    """
    from labsupport.cluster.quorumbench.faults import FAULTS
    from labsupport.cluster.quorumbench.place import place
    from labsupport.console import note

    done: list[dict[str, Any]] = _read(resume)
    wanted = [(name, run) for run in range(runs) for name in (faults or FAULTS)]
    left = [each for each in wanted if each not in {(one["name"], one["run"]) for one in done}]
    if left:
        with place() as here:
            for name, run in left:
                found = {"name": name, "run": run} | _one(here, FAULTS[name])
                note(f"  {name}: {json.dumps(found)}")
                done.append(found)
                if resume is not None:
                    with resume.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(found) + "\n")
    return {"faults": [_summary(name, done) for name in (faults or FAULTS)]}


def _one(here: Any, fault: Any) -> dict[str, Any]:
    size = int(here.quorum()["spec"]["size"])
    public = here.quorum()["status"]["publicKey"]
    running = here.load(max(size, 5))
    time.sleep(QUIET)
    fault(here)
    after = here.settle()
    time.sleep(QUIET)
    here.stop_load()
    found: dict[str, Any] = running.result()
    same = after["status"]["publicKey"] == public
    return found | {"final_state_ok": same and found["lost"] == 0 and found["linearizable"] is not False}


def _summary(name: str, done: list[dict[str, Any]]) -> dict[str, Any]:
    runs = [each for each in done if each["name"] == name]
    gaps = [each["gap_s"] for each in runs]
    return {
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


def _read(file: Path | None) -> list[dict[str, Any]]:
    if file is None or not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


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
            f"{gap['median']:9.2f} (max {gap['max']:.2f}) {each['operations']} operations, {verdict}{wrong}"
        )
    lines.append("without a leader: the longest time in which no client's write was confirmed")
    return "\n".join(lines)
