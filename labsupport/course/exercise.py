"""Running a check: what an author's check gets, what it gives back, and how that becomes a verdict.

A check is a function `(Probe) -> Outcome` in labs/source/<lab>/checks.py, or in a package checks/ in its place,
found by its exercise's id in CHECKS. It looks at the cluster and at the learner's names itself, changes nothing
of the learner's, and may take `LIMIT` seconds.
"""

from __future__ import annotations

import importlib.util
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from labsupport import kube, paths
from labsupport.course import ladder
from labsupport.course.manifest import Exercise, Lab
from labsupport.course.probe import LIMIT, CheckFault, Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.progress import Progress
from labsupport.course.verdict import Verdict
from labsupport.course.worlds.namespaces import SYSTEM
from labsupport.course.worlds.world import PART_OF, World, expand
from labsupport.errors import LabsError
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

__all__ = ["CheckFault", "Outcome", "Probe", "Rejected", "checks_of", "not_yet", "passed", "run"]

# Seconds after which a check that does not look at its deadline is ended; the promise is 60.
HARD_LIMIT = patient(57.0)

Check = Callable[[Probe], Outcome]


class _Overdue(BaseException):
    """Raised in a check that has used up its time. No `except Exception` of the check stops it."""


def checks_of(lab: Lab, table: str = "CHECKS") -> dict[str, Check]:
    """The checks of a lab by exercise id, from its checks.py or checks/: CHECKS look at the cluster, OFFLINE come
    first and need none.

    Errors: LabsError if the module has no CHECKS.
    """
    name = f"labs_checks_{lab.id.lower()}"
    module = sys.modules.get(name) or _load(name, lab)
    checks = getattr(module, table, {} if table == "OFFLINE" else None)
    if not isinstance(checks, dict):
        raise LabsError(f"{lab.checks} defines no dictionary CHECKS.")
    return checks


def _load(name: str, lab: Lab) -> ModuleType:
    # By path and under a name of our own: a lab's directory name is a title, not an identifier.
    file = lab.checks
    places = [str(file.parent)] if file.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=places)
    if spec is None or spec.loader is None:
        raise LabsError(f"{file} cannot be loaded.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        for each in list(sys.modules):
            if each == name or each.startswith(f"{name}."):
                del sys.modules[each]
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
        prediction = store.prediction(exercise.id) if store and exercise.predict else None
        probe = Probe(None, answers or {}, started + LIMIT, progress, prediction)
        with _at_most(HARD_LIMIT):
            outcome = _outcome(lab, exercise, connect, probe)
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
    except (Exception, _Overdue) as error:
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
        expand(lab, exercise.expected),
        observed,
        decided_by,
        diagnostic,
        look,
        seconds=round(time.monotonic() - started, 2),
        explanation=expand(lab, exercise.explanation) if kind == "pass" else "",
    )
    return ladder.recorded(verdict, store, hints=len(exercise.hints)) if store else verdict


def _outcome(lab: Lab, exercise: Exercise, connect: Callable[[], ApiClient], probe: Probe) -> Outcome:
    """First the check that needs no cluster, if there is one; what passes it is looked at on the cluster."""
    try:
        outcome = None
        if offline := checks_of(lab, "OFFLINE").get(exercise.id):
            outcome = offline(probe)
        if (outcome is None or outcome.passed) and (live := checks_of(lab).get(exercise.id)):
            api = connect()
            outcome = wrong_context(api) or live(replace(probe, place=World(api, lab)))
    except Rejected as rejected:
        return rejected.outcome
    if outcome is None:
        raise LabsError(f"{lab.checks} has no check for {exercise.id}.")
    return outcome


def wrong_context(api: ApiClient) -> Outcome | None:
    """A "not yet" if the cluster behind `api` is none that the course made, else None."""
    found = kube.get(api, "v1", "Namespace", SYSTEM)
    if found and (found["metadata"].get("labels") or {}).get(PART_OF) == "course":
        return None
    seen = f"has a namespace {SYSTEM} that the course did not make" if found else f"has no namespace {SYSTEM}"
    return not_yet(
        "wrong-context",
        f"The cluster at {api.configuration.host} {seen}: it is none of the course's, so nothing in it was looked at.",
        f"Namespace {SYSTEM}, label {PART_OF}",
        "`labs status` names the course's cluster and its kubeconfig. If `LABS_KUBECONFIG` is set, to what?",
    )


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise _Overdue in the block after `seconds`, again and again in case it is swallowed.

    By a signal, which interrupts system calls too and needs no thread. It can be set in the main thread alone, where
    kernels run cells; elsewhere the block goes by its own deadline.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(signal_number: int, frame: FrameType | None) -> None:
        raise _Overdue(f"it was not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    others = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, *others)
        signal.signal(signal.SIGALRM, before)


def _keep_traceback(exercise: str) -> str:
    path = paths.state() / "check-failed.log"
    try:
        paths.write_private(path, f"{exercise}\n{traceback.format_exc()}")
    except OSError:
        return "The terminal of the notebook"
    return str(path)
