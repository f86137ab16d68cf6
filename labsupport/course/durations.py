"""How long a lab takes: reading, plus what the cluster needs, plus the author's minutes for thinking.

The cluster's part is measured (`labs content --record`) and kept in lab.toml; nobody has to guess it, and a lab without
it is not complete.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from labsupport.course.manifest import Lab

if TYPE_CHECKING:
    from labsupport.cluster.interface import Cluster

# English non-fiction, silent reading, mean of 190 studies: M. Brysbaert, "How many words do we read per minute?",
# Journal of Memory and Language 109 (2019), doi:10.1016/j.jml.2019.104047.
WORDS_PER_MINUTE = 238
STEP = 5  # minutes: an estimate that is finer would promise what nobody knows


def words(texts: Iterable[str]) -> int:
    """The words that a learner reads, in prose and code alike: runs of letters, digits, dashes and apostrophes."""
    return sum(len(re.findall(r"[^\W_][\w'-]*", text)) for text in texts)


def minutes(lab: Lab, texts: Iterable[str]) -> float | None:
    """Minutes for the whole lab whose learner reads `texts`, not rounded; None where `seconds` were not recorded."""
    if lab.seconds is None:
        return None
    own = lab.minutes + sum(exercise.minutes for exercise in lab.exercises)
    return words(texts) / WORDS_PER_MINUTE + lab.seconds / 60 + own


def estimate(lab: Lab, texts: Iterable[str]) -> str:
    """What a learner is told: `about 25 minutes`; empty where nothing was recorded."""
    exact = minutes(lab, texts)
    return "" if exact is None else f"about {max(1, math.ceil(exact / STEP)) * STEP} minutes"


def record(lab: Lab, cluster: Cluster) -> float:
    """Run the lab's solution notebook on `cluster`, write the seconds of its cells to lab.toml and return them.

    Errors: LabsError if a cell raises, as it would in the tests.
    """
    seconds = round(measure(lab, cluster), 1)
    write(lab, seconds)
    return seconds


def measure(lab: Lab, cluster: Cluster) -> float:
    """Seconds that the cells of the solution notebook take on `cluster`, without the kernel's own start."""
    from labsupport.course.proofs.running import run_solutions

    return sum(_taken(cell["metadata"].get("execution", {})) for cell in run_solutions(lab, cluster))


def _taken(timing: dict[str, str]) -> float:
    """Seconds between the kernel's reports that it is busy with a cell and that it is idle again."""
    try:
        begun, ended = timing["iopub.status.busy"], timing["iopub.status.idle"]
    except KeyError:
        return 0.0  # no code
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds()


def write(lab: Lab, seconds: float) -> None:
    """Set `seconds` in lab.toml; every other byte stays."""
    import tomlkit

    path = lab.directory / "lab.toml"
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    document["seconds"] = seconds  # a new key goes behind the other plain ones
    path.write_text(tomlkit.dumps(document), encoding="utf-8")
