"""Running a check: what an author's check gets, what it gives back, and how that becomes a verdict.

A check is a function `(Probe) -> Outcome` in labs/source/<lab>/checks.py, found by its exercise's id in
CHECKS. It looks at the cluster and at the learner's names itself, changes nothing of the learner's, and may
take `LIMIT` seconds.
"""

from __future__ import annotations

import importlib.util
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

from labsupport import kube, paths
from labsupport.course import ladder
from labsupport.course.manifest import Exercise, Lab
from labsupport.course.progress import Progress
from labsupport.course.verdict import Verdict
from labsupport.course.world import World
from labsupport.errors import LabsError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

LIMIT = 45.0  # seconds for one check; the promise to learners is 60, and the last request may need some


@dataclass(frozen=True)
class Probe:
    """What a check works with: the API, the lab's world, the learner's names, and how long it may take."""

    place: World | None
    answers: Mapping[str, Any] = field(default_factory=dict)
    deadline: float = 0.0
    progress: Callable[[str], None] = lambda text: None

    @property
    def world(self) -> World:
        """The lab on the cluster. Errors: LabsError in a check that is to need no cluster."""
        if self.place is None:
            raise LabsError("An offline check asked for the cluster.")
        return self.place

    @property
    def api(self) -> ApiClient:
        """The API client."""
        return self.world.api

    @property
    def namespace(self) -> str:
        """The lab's namespace."""
        return self.world.namespace

    def left(self, at_most: float = LIMIT) -> float:
        """Seconds that a step may take."""
        return max(0.5, min(at_most, self.deadline - time.monotonic()))

    def get(self, api_version: str, kind: str, name: str) -> kube.objects.Object | None:
        """An object of the lab's namespace, or None."""
        return kube.get(self.api, api_version, kind, name, self.namespace)

    def list(self, api_version: str, kind: str, **selectors: str) -> list[kube.objects.Object]:
        """The objects of a kind in the lab's namespace."""
        return kube.list_objects(self.api, api_version, kind, self.namespace, **selectors)


@dataclass(frozen=True)
class Outcome:
    """What a check found, without what the engine knows by itself (see Verdict)."""

    passed: bool
    diagnostic: str
    observed: str
    decided_by: str
    look: str = ""


Check = Callable[[Probe], Outcome]


class Rejected(Exception):
    """Ends a check early with an outcome: what a probe raises when an answer is missing or cannot be used."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.observed)
        self.outcome = outcome


def passed(observed: str, decided_by: str) -> Outcome:
    """The exercise is solved."""
    return Outcome(True, "ok", observed, decided_by)


def not_yet(diagnostic: str, observed: str, decided_by: str, look: str) -> Outcome:
    """The exercise is not solved: a stable id for the finding, what was seen, what decided it, where to
    look.
    """
    return Outcome(False, diagnostic, observed, decided_by, look)


def checks_of(lab: Lab, table: str = "CHECKS") -> dict[str, Check]:
    """The checks of a lab by exercise id, from its checks.py: CHECKS look at the cluster, OFFLINE come first and need
    none.

    Errors: LabsError if the module has no CHECKS.
    """
    name = f"labs_checks_{lab.id.lower()}"
    module = sys.modules.get(name) or _load(name, lab)
    checks = getattr(module, table, {} if table == "OFFLINE" else None)
    if not isinstance(checks, dict):
        raise LabsError(f"{lab.directory / 'checks.py'} defines no dictionary CHECKS.")
    return checks


def _load(name: str, lab: Lab) -> ModuleType:
    # By path and not as a package: a lab's directory name is a title, not an identifier.
    spec = importlib.util.spec_from_file_location(name, lab.directory / "checks.py")
    if spec is None or spec.loader is None:
        raise LabsError(f"{lab.directory / 'checks.py'} cannot be loaded.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def run(
    lab: Lab,
    exercise: Exercise,
    *,
    connect: Callable[[], ApiClient],
    answers: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] = lambda text: None,
    store: Progress | None = None,
) -> Verdict:
    """Check `exercise` and record the attempt in `store`. Never raises: what goes wrong becomes
    `could_not_check`.
    """
    started = time.monotonic()
    try:
        outcome = _outcome(lab, exercise, connect, answers or {}, started + LIMIT, progress)
        kind = "pass" if outcome.passed else "not_yet"
        observed, decided_by, look = outcome.observed, outcome.decided_by, outcome.look
        diagnostic = outcome.diagnostic
    except kube.Unreachable as error:
        kind, diagnostic, decided_by = (
            "could_not_check",
            "cluster-unreachable",
            "the connection to the API server",
        )
        observed, look = (
            error.what,
            "`labs status`; `labs up` starts the cluster again and keeps what is in it.",
        )
    except KeyboardInterrupt:
        kind, diagnostic, decided_by = "could_not_check", "interrupted", "an interrupt from the keyboard"
        observed, look = "The check was interrupted before it knew.", "Run it again."
    except LabsError as error:
        kind, diagnostic, decided_by = "could_not_check", "cluster-refused", "the cluster's answer"
        observed, look = error.what, error.fix
    except Exception as error:
        log = _keep_traceback(exercise.id)
        kind, diagnostic, decided_by = (
            "could_not_check",
            "check-failed",
            f"{type(error).__name__} in the check itself",
        )
        observed = f"The check has a fault of its own: {error}"
        look = f"This is the course's mistake. {log} has the details for a report."
    verdict = Verdict(
        exercise.id,
        kind,  # type: ignore[arg-type]  # each branch above assigns one of the three
        exercise.expected,
        observed,
        decided_by,
        diagnostic,
        look,
        seconds=round(time.monotonic() - started, 2),
        explanation=exercise.explanation if kind == "pass" else "",
    )
    return ladder.recorded(verdict, store, hints=len(exercise.hints)) if store else verdict


def _outcome(
    lab: Lab,
    exercise: Exercise,
    connect: Callable[[], ApiClient],
    answers: Mapping[str, Any],
    deadline: float,
    progress: Callable[[str], None],
) -> Outcome:
    """First the check that needs no cluster, if there is one; what passes it is looked at on the cluster."""
    try:
        outcome = None
        if offline := checks_of(lab, "OFFLINE").get(exercise.id):
            outcome = offline(Probe(None, answers, deadline, progress))
        if (outcome is None or outcome.passed) and (live := checks_of(lab).get(exercise.id)):
            outcome = live(Probe(World(connect(), lab), answers, deadline, progress))
    except Rejected as rejected:
        return rejected.outcome
    if outcome is None:
        raise LabsError(f"{lab.directory / 'checks.py'} has no check for {exercise.id}.")
    return outcome


def _keep_traceback(exercise: str) -> str:
    path = paths.state() / "check-failed.log"
    try:
        paths.write_private(path, f"{exercise}\n{traceback.format_exc()}")
    except OSError:
        return "The terminal of the notebook"
    return str(path)
