"""How long a lab takes: reading, plus what the cluster needs, plus the author's minutes for thinking.

The cluster's part is measured (`labs content --record`) and kept in lab.toml; nobody has to guess it, and a lab without
it is not complete.
"""

from __future__ import annotations

import math
import os
import re
import sys
import tempfile
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from labsupport.course.manifest import Lab
from labsupport.errors import LabsError

if TYPE_CHECKING:
    from labsupport.cluster.interface import Cluster

# English non-fiction, silent reading, mean of 190 studies: M. Brysbaert, "How many words do we read per minute?",
# Journal of Memory and Language 109 (2019), doi:10.1016/j.jml.2019.104047.
WORDS_PER_MINUTE = 238
STEP = 5  # minutes: an estimate that is finer would promise what nobody knows
CELL_LIMIT = 120  # seconds, as in the tests of the notebooks


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
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    from labsupport.course.authoring import generate

    notebook = nbformat.reads(generate(lab, solution=True), as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(notebook, timeout=CELL_LIMIT, kernel_name="python3", record_timing=True)
    try:
        with tempfile.TemporaryDirectory(prefix="labs-") as home:
            environment = os.environ | {
                "LABS_EXPECT": "pass",
                "LABS_KUBECONFIG": str(cluster.kubeconfig),
                "LABS_CLUSTER": cluster.name,
                "XDG_DATA_HOME": home,  # the author's own progress is left alone
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            }
            client.execute(env=environment)
    except CellExecutionError as error:
        raise LabsError(
            f"The solution notebook of {lab.id} ends with {error.ename}: {error.evalue}"
        ) from error
    except CellTimeoutError as error:
        raise LabsError(
            f"A cell of the solution notebook of {lab.id} takes more than {CELL_LIMIT} s."
        ) from error
    return sum(_taken(cell["metadata"].get("execution", {})) for cell in notebook.cells)


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
