"""The object `lab` of the notebooks, and the same abilities for the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.course import exercise as engine
from labsupport.course import ladder, prediction, voice
from labsupport.course.manifest import Exercise, Lab, find_exercise, find_lab, readable
from labsupport.course.panels.check_panel import Checked
from labsupport.course.panels.live_table import LiveTable
from labsupport.course.panels.overview import overview
from labsupport.course.panels.progress_panel import ProgressPanel
from labsupport.course.progress import Progress
from labsupport.course.verdict import Verdict
from labsupport.course.views import Note, Table
from labsupport.course.worlds.world import (
    World,
    empty,
    is_started,
    marked,
    parse,
    recognise,
    start,
    started_note,
)
from labsupport.draw.theme import Picture
from labsupport.errors import LabsError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    from labsupport.cluster.interface import Cluster
    from labsupport.course.deploy import Deployed
    from labsupport.course.lessons.comparison import Comparison
    from labsupport.course.lessons.proxy import Proxy
    from labsupport.course.lessons.traffic import Load
    from labsupport.course.lessons.wire import Wire
    from labsupport.course.panels.topology_panel import TopologyPanel

KUBECONFIG = "LABS_KUBECONFIG"  # set for the kernels by whoever starts JupyterLab
CLUSTER = "LABS_CLUSTER"  # the name of the cluster, likewise
SILENCE = 3.0  # seconds without progress that nobody minds
EXPECT = "LABS_EXPECT"  # notyet or pass: turns each check into an assertion (tests of the notebooks)


def kubeconfig() -> Path:
    """The kubeconfig of the learner's cluster. Errors: LabsError if there is no cluster."""
    if path := os.environ.get(KUBECONFIG):
        return Path(path)
    return cluster().kubeconfig


def cluster() -> Cluster:
    """The learner's cluster: the one that LABS_CLUSTER names, else the current one."""
    from labsupport.cluster import current, get

    name = os.environ.get(CLUSTER)
    return get(name) if name else current()


class Context:
    """A learner's session: which lab is open, the connection to the cluster, the record of progress."""

    def __init__(self, answers: Mapping[str, Any] | None = None, store: Progress | None = None) -> None:
        """`answers` are the learner's names (default: those of the notebook); `store` keeps the progress."""
        self._answers = answers
        self._given_store = store
        self._lab: Lab | None = None
        self._api: ApiClient | None = None
        self._panel: ProgressPanel | None = None

    @property
    def _progress_store(self) -> Progress:
        if self._given_store is None:
            self._given_store = Progress()
        return self._given_store

    def at(self, api: ApiClient, lab: Lab) -> Context:
        """This session with lab `lab` open on the cluster behind `api`, whatever else is configured."""
        self._api, self._lab = api, lab
        return self

    def opened(self, lab: Lab) -> Context:
        """This session with lab `lab` open as it is; nothing is asked of the cluster yet."""
        self._lab = lab
        return self

    # --- the lab's place in the cluster

    @property
    def api(self) -> ApiClient:
        """The connection to the cluster: an ApiClient of the official Python client."""
        if self._api is None:
            self._api = kube.connect(kubeconfig())
        return self._api

    @property
    def world(self) -> World:
        """The open lab on the cluster."""
        if self._lab is None:
            raise LabsError(
                "No lab is open.", fix='lab.start("00"), or lab.resume("00") to go on without a reset'
            )
        return World(self.api, self._lab)

    @property
    def namespace(self) -> str:
        """The open lab's own namespace."""
        return self.world.namespace

    def name(self, suffix: str) -> str:
        """A name for a cluster-scoped object that no other lab uses."""
        return self.world.name(suffix)

    @property
    def group(self) -> str:
        """The API group of the open lab's own kinds, such as `lab-o1.labs.example`."""
        return self.world.group

    def start(self, lab: str, at: str = "") -> Note:
        """Bring lab `lab` to its start, or to the start of exercise `at`, whatever was done before.

        What was in its namespace goes, and so do the objects of the learner's other labs. With `at`, names that the
        solutions of earlier exercises define are put into the notebook where it has none of that name.
        """
        self._lab = find_lab(lab)
        with voice.patient(f"Starting lab {self._lab.id}") as say:
            started = start(self.world, at, progress=say)
        given = self._give(started.names)
        open_again = self._lab.exercises_from(at)
        self._progress_store.forget_predictions(exercise.id for exercise in open_again)
        self._progress_store.see(open_again[0].id)
        return started_note(self._lab, at, started, given)

    def _give(self, names: dict[str, Any]) -> list[str]:
        """Put the names of solutions into the notebook where it has none; returns those."""
        names["lab"] = self  # what the solutions' functions call `lab` from now on
        answers = self._names()
        if not isinstance(answers, dict):
            return []
        given = {
            name: value
            for name, value in names.items()
            if name != "lab" and not name.startswith("_") and name not in answers
        }
        answers.update(given)
        return sorted(name for name, value in given.items() if not isinstance(value, ModuleType))

    def resume(self, lab: str) -> Note:
        """Go on with lab `lab` as it is; one that has not reached its start is started."""
        self._lab = find_lab(lab)
        recognise(self.api)
        if not is_started(self.world):
            return self.start(lab)
        return Note(f"Your namespace is `{self.namespace}`, as you left it.", f"Lab {self._lab.id} goes on")

    def reset(self) -> Note:
        """Bring the open lab back to its start."""
        return self.start(self.world.lab.id)

    def clean(self) -> list[str]:
        """Delete everything in the open lab's namespace; returns what it was."""
        with voice.patient(f"Emptying {self.namespace}") as say:
            return empty(self.world, progress=say)

    # --- exercises

    def verdict(self, exercise: str) -> Verdict:
        """Check an exercise and record the attempt. Raises only for an id that does not exist."""
        with voice.patient(f"Checking {exercise}") as say:
            return self._verdict(exercise, say)

    def _verdict(self, exercise: str, say: voice.Say) -> Verdict:
        self._lab, found = find_exercise(exercise)
        verdict = engine.run(
            self._lab,
            found,
            connect=lambda: self.api,
            answers=self._names(),
            progress=say,
            store=self._progress_store,
        )
        if verdict and (later := ladder.following(self._lab, exercise)):
            self._progress_store.see(later)
        self._show_progress()
        return verdict

    def check(self, exercise: str) -> Checked:
        """Check an exercise; a notebook shows the verdict with buttons to check again and to take a hint."""
        verdict = self.verdict(exercise)
        wanted = os.environ.get(EXPECT, "")
        if wanted and verdict.verdict.replace("_", "") != wanted.replace("_", ""):
            raise AssertionError(f"wanted {wanted}\n{verdict}")
        lab, found = find_exercise(exercise)
        return Checked(
            verdict,
            check=lambda say: self._verdict(exercise, say),
            hint=lambda: self._hint(lab, found),
            solution=lambda: self.solution(exercise),
            resume=f'from labsupport.course import lab; lab.resume("{lab.id}")',
        )

    def hint(self, exercise: str) -> Note:
        """The next hint of three, and those before it."""
        return self._hint(*find_exercise(exercise)).note

    def _hint(self, lab: Lab, exercise: Exercise) -> ladder.Hint:
        hint = ladder.next_hint(lab, exercise, self._progress_store)
        self._show_progress()
        return hint

    def solution(self, exercise: str) -> Note:
        """One way to solve an exercise and why: after a pass, or after three failed checks."""
        note = ladder.solution(*find_exercise(exercise), self._progress_store).note
        self._show_progress()
        return note

    def predict(self, exercise: str, value: object = None) -> Note:
        """Commit a prediction: one of the exercise's options, or a number in its unit.

        It may be changed until the check has shown what happens; then it stays until the lab is started again. A value
        that cannot be used leaves an earlier one as it is, and the note says what can.
        """
        return prediction.commit(find_exercise(exercise)[1], value, self._progress_store).note

    def progress(self) -> ProgressPanel:
        """What is solved, what is open, with checks, hints and times; a notebook shows it as a panel."""
        self._panel = ProgressPanel(lambda: overview(readable(), self._progress_store))
        return self._panel

    def _show_progress(self) -> None:
        if self._panel is not None:
            self._panel.refresh()

    # --- tools for the notebooks

    def read(self, file: str) -> str:
        """The text of one of the lab's own files, for instance a manifest."""
        return (self.world.lab.directory / file).read_text(encoding="utf-8")

    def apply(self, manifest: str) -> Note:
        """Apply YAML to the lab's namespace, as `kubectl apply --server-side` does; says what the server
        stored. `{namespace}`, `{group}` and `{name:SUFFIX}` in it are this lab's.
        """
        if not isinstance(manifest, str):
            return Note("Nothing was applied: `lab.apply` takes a text with YAML, between triple quotes.")
        documents = parse(self.world, manifest)
        if not documents:
            return Note("Nothing was applied: there is no YAML yet.")
        applied = kube.apply(self.api, marked(self.world, documents), namespace=self.namespace)
        lines = [
            f"{each.kind} {each.name}" + (f" in {each.namespace}" if each.namespace else "")
            for each in applied
        ]
        return Note("Applied: " + "; ".join(lines) + ".")

    def deploy(self, function: Any, host: str = "reconciler", name: str = "", **settings: Any) -> Deployed:
        """Run a function of the notebook, or a list of them, in a Pod of the lab's namespace, in place of what ran
        there under that `name` (default: the function's own). `host` is the program that calls it, `settings` are that
        program's.
        """
        from labsupport.course.deploy import deploy

        with voice.patient(f"Deploying {name or getattr(function, '__name__', 'it')}") as say:
            return deploy(
                self.world, function, self._names(), host=host, name=name, settings=settings, progress=say
            )

    def follow(self, manifest: str, title: str = "From apply to a running Pod") -> Picture:
        """Apply YAML and draw who wrote what until it was ready."""
        from labsupport.course.lessons.observe import follow
        from labsupport.draw.timeline import timeline

        return timeline(follow(self.api, self.namespace, parse(self.world, manifest)), title=title)

    def load(self, url: str, **plan: Any) -> Load:
        """Send requests from the shop's load generator (settings: labsupport.shop.load.Plan) and show who answered."""
        from labsupport.course.lessons import traffic

        return traffic.run(self.api, self.namespace, url, **plan)

    def ask(self, caller: str, *requests: str, header: str = "") -> Table:
        """Make requests ("GET http://inventory/stock/tea") from the Pod of `caller`, by way of its proxy."""
        from labsupport.course.lessons import callers

        calls = [callers.call(caller, each, header) for each in requests]
        return callers.table(callers.make(self.api, self.namespace, calls))

    def matrix(self, callers: Iterable[str], requests: Mapping[str, str]) -> Table:
        """Everybody asks everybody: `requests` says for each service what each of `callers` asks it."""
        from labsupport.course.lessons import callers as lesson

        return lesson.matrix(self.api, self.namespace, callers, requests)

    def compare(self, ways: Mapping[str, str], **plan: Any) -> Comparison | Note:
        """Measure several ways (name: URL) in turn with the load generator (settings: lessons/comparison.py).

        A way that does not answer well is no fault of the notebook: then a note says so.
        """
        from labsupport.course.lessons import comparison

        try:
            return comparison.compare(self.api, self.namespace, ways, **plan)
        except kube.Unreachable:
            raise
        except LabsError as error:
            return Note(f"{error.what} Next: {error.fix}.", "Nothing was measured")

    def proxy(self, name: str = "proxy") -> Proxy:
        """An Envoy of the lab, by the name of its Deployment: configure it, ask it, look into it."""
        from labsupport.course.lessons.proxy import Proxy

        return Proxy(self.world, name)

    def rules(self, service: str, *, outside: bool = False) -> Picture:
        """The way from a Service of the lab (its node port, if `outside`) to its Pods, by kube-proxy's rules now."""
        from labsupport.course.lessons import rules

        return rules.picture(self.api, self.namespace, service, outside=outside)

    def restart(self, *deployments: str, annotations: Mapping[str, str] | None = None) -> Note:
        """Have Deployments of the lab make their Pods anew, as `kubectl rollout restart` does, and wait for them.

        `annotations` are given to the new Pods. What does not become ready is told by the note.
        """
        from labsupport.course.lessons import rollout

        names = ", ".join(deployments)
        try:
            with voice.patient(f"Restarting {names}") as say:
                rollout.restart(self.api, self.namespace, deployments, annotations, progress=say)
        except kube.Unreachable:
            raise
        except LabsError as error:
            return Note(error.what, f"Not all of {names} is ready")
        return Note(f"{names}: all Pods are new, and ready.")

    def wire(self, app: str, during: Callable[[str], object] | None = None, **plan: Any) -> Wire:
        """What can be read on the wire of a Pod of `app`, by the Pod `node`; `during` is done meanwhile and gets that
        Pod's address (settings: lessons/wire.py).
        """
        from labsupport.course.lessons import wire

        with voice.patient(f"Reading along at {app}"):
            return wire.watch(self.api, self.namespace, app, during, **plan)

    def table(
        self, api_version: str, kind: str, *, namespace: str | None = None, name: str = "", labels: str = ""
    ) -> LiveTable:
        """A table of objects that follows the cluster: the lab's own, or those of `namespace` ("" for all).

        `name` and `labels` (a selector) choose among them. It stops with `stop()`, or when its cell is run again.
        Errors: LabsError if the cluster serves no such kind.
        """
        place = self.namespace if namespace is None else namespace
        return LiveTable(self.api, kube.Target(api_version, kind, name, place, labels))

    def topology(self, *, find: str | None = None, seconds: int = 60) -> TopologyPanel:
        """Who calls whom in the mesh, in the last `seconds` (5 to 300): a picture that follows, a table, a text.

        `find`: only what has to do with nodes that have this in their names (default: the lab's namespace; "" for all).
        It stops with `stop()`, or when its cell is run again. Errors: LabsError where no control plane answers.
        """
        from labsupport.course.panels.topology_panel import TopologyPanel
        from labsupport.draw.topology.data import gathered
        from labsupport.mesh.admin import see

        wanted = f"{self.namespace}/" if find is None else find
        return TopologyPanel(lambda: gathered(see.topology(self.api, seconds)), find=wanted)

    def components(self) -> Picture:
        """The programs that this cluster is made of, with their memory."""
        from labsupport.draw.bars import Bar, bars

        status = cluster().status()
        items = [
            Bar(
                component.name,
                component.pss_mb,
                component.state
                if component.restarts == 0
                else f"{component.state}, restarted {component.restarts} times",
            )
            for component in status.components
        ]
        kind = f"{status.backend} cluster {status.name!r}" + (
            " (unofficial build)" if status.unofficial_build else ""
        )
        return bars(items, title=f"Memory of the {kind}", unit="MB")

    def _names(self) -> Mapping[str, Any]:
        if self._answers is not None:
            return self._answers
        shell = _shell()
        return shell.user_ns if shell is not None else {}


def _shell() -> Any:
    """The running IPython shell, or None; IPython is not imported for the question."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None
