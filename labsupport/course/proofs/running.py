"""The solution notebook of a lab, run in a kernel of its own: what a learner does who solves everything at once."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labsupport.course.authoring import cells, generate
from labsupport.course.manifest import Lab
from labsupport.errors import LabsError

if TYPE_CHECKING:
    from labsupport.cluster.interface import Cluster

CELL_LIMIT = 120  # seconds, as in the tests of the notebooks


def run_solutions(
    lab: Lab, cluster: Cluster, reached: Callable[[str], None] = lambda exercise: None
) -> list[Any]:
    """Run the notebook on `cluster` and return its cells, with their times; each check must pass.

    `reached` is called with an exercise's id before its first answer cell runs. The author's own progress is left
    alone. Errors: LabsError if a cell raises or takes too long.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    notebook = nbformat.reads(generate(lab, solution=True), as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(notebook, timeout=CELL_LIMIT, kernel_name="python3", record_timing=True)
    # Over ipc, as the learners' kernels: on loopback's TCP every user of the machine could send it code.
    client.km = client.create_kernel_manager()
    client.km.transport = "ipc"
    exercises = [cell.exercise for cell in cells(lab)]  # the solution notebook has them all, in this order
    seen: set[str] = set()
    try:
        with tempfile.TemporaryDirectory(prefix="labs-") as home:
            environment = os.environ | {
                "LABS_EXPECT": "pass",
                "LABS_KUBECONFIG": str(cluster.kubeconfig),
                "LABS_CLUSTER": cluster.name,
                "XDG_DATA_HOME": home,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            }
            with client.setup_kernel(env=environment):
                for index, (cell, exercise) in enumerate(zip(notebook.cells, exercises, strict=True)):
                    if exercise and exercise not in seen:
                        seen.add(exercise)
                        reached(exercise)
                    client.execute_cell(cell, index)
    except CellExecutionError as error:
        raise LabsError(
            f"The solution notebook of {lab.id} ends with {error.ename}: {error.evalue}"
        ) from error
    except CellTimeoutError as error:
        raise LabsError(
            f"A cell of the solution notebook of {lab.id} takes more than {CELL_LIMIT} s."
        ) from error
    cells_run: list[Any] = notebook.cells
    return cells_run
