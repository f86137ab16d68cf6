"""The start of an exercise as if the earlier ones were solved: their needs applied, their reference solutions run.

There are no separate copies of such states; they come from the same cells that learners read.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.course.authoring import solution_of
from labsupport.course.progress import Progress
from labsupport.course.worlds import world as worlds
from labsupport.errors import LabsError
from labsupport.kube.wait import TimedOut, ready

if TYPE_CHECKING:
    from labsupport.course.worlds.world import World

SETTLE = 15.0  # seconds for what the solutions made; what is not ready then is taken to be meant so
_WORKLOADS = (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet"))


def solve_until(world: World, at: str, progress: Callable[[str], None]) -> dict[str, Any]:
    """Solve the exercises before `at`, apply the needs of `at`, and return the solutions' names.

    The solutions share them, and see no other names of a notebook; among them is their own `lab`. Nothing is recorded
    as the learner's progress or prediction, and what the solutions print is not shown. Errors: LabsError says which
    solution failed; that is a fault of the course.
    """
    from labsupport.course.context import Context
    from labsupport.course.source import run_cell

    exercises = world.lab.exercises
    earlier = exercises[: [exercise.id for exercise in exercises].index(at)]
    names: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="labs-") as scratch:
        store = Progress(Path(scratch) / "progress.sqlite")
        names["lab"] = Context(names, store).at(world.api, world.lab)
        for exercise in earlier:
            worlds.apply_and_wait(world, exercise.needs, progress)
            progress(f"solving {exercise.id}")
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    run_cell(solution_of(world.lab, exercise.id), names, f"the solution of {exercise.id}")
            except Exception as error:
                raise LabsError(
                    f"The course's own solution of {exercise.id} failed: {error}",
                    fix=f"run it again; if it fails again, solve {exercise.id} yourself and go on from there",
                ) from error
    if earlier:
        _settle(world, progress)
    worlds.apply_and_wait(world, world.lab.exercise(at).needs, progress)
    return names


def _settle(world: World, progress: Callable[[str], None]) -> None:
    """Wait until what the solutions made is ready, or cannot become so."""
    for api_version, kind in _WORKLOADS:
        target = kube.Target(api_version, kind, namespace=world.namespace)

        def all_ready(objects: list[kube.objects.Object]) -> kube.Seen:
            return ready(objects) if objects else kube.Seen(True, "there are none")

        with contextlib.suppress(TimedOut):
            kube.until(world.api, target, all_ready, timeout=SETTLE, progress=progress)
