"""Measure what a learner waits for and what it takes: checks, `lab.start`, memory.

Every exercise's solutions, its wrong answers and its shipped state are judged as `labs content` judges them; each time
counts that the learner's own call takes, and of two checks in a row the slower one. What is measured is as good as the
labs that are there; nothing of the learner's record of progress is touched.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.course.authoring import shipped_of
from labsupport.course.manifest import Exercise, Lab
from labsupport.course.proofs import tour
from labsupport.course.proofs.content import every, solutions
from labsupport.course.proofs.judging import Answer, Judge
from labsupport.course.worlds.checkpoint import solve_until
from labsupport.course.worlds.world import World
from labsupport.errors import LabsError

if TYPE_CHECKING:
    import psutil
    from kubernetes.client import ApiClient

    from labsupport.cluster.interface import Cluster

# Seconds that a learner is promised, 95 of 100 times.
PROMISED = {"offline": 0.5, "live_pass": 3.0, "live_not_yet": 5.0, "start": 6.0}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sample:
    """One measurement: what was done, and seconds."""

    what: str
    seconds: float


@dataclass(frozen=True)
class Memory:
    """MB (2^20 bytes, proportional shares) of everything that runs for a learner, with one lab open."""

    lab: str
    cluster: float
    jupyterlab: float
    kernel: float

    @property
    def total(self) -> float:
        """All together."""
        return self.cluster + self.jupyterlab + self.kernel


@dataclass
class Result:
    """All that was measured. `unexpected` are answers that were not judged as their lab says, and what failed."""

    offline: list[Sample] = field(default_factory=list)
    live_pass: list[Sample] = field(default_factory=list)
    live_not_yet: list[Sample] = field(default_factory=list)
    start: list[Sample] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    exercises: int = 0
    answers: int = 0
    machine: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form (`labs bench course --json`): seconds and MB; null where nothing was measured."""
        return {
            "exercises": self.exercises,
            "answers": self.answers,
            "offline_s": spread(self.offline),
            "live_s": {"pass": spread(self.live_pass), "not_yet": spread(self.live_not_yet)},
            "start_s": spread(self.start),
            "memory_mb": {
                part: _range([getattr(each, part) for each in self.memory])
                for part in ("cluster", "jupyterlab", "kernel", "total")
            },
            "promised_p95_s": PROMISED,
            "kept": {name: kept(name, getattr(self, name)) for name in PROMISED},
            "unexpected": self.unexpected,
            "machine": self.machine,
        }


def kept(name: str, samples: Sequence[Sample]) -> bool | None:
    """Whether a promise was kept; None where nothing was measured."""
    found = spread(samples)
    return None if found is None else found["p95"] <= PROMISED[name]


def spread(samples: Sequence[Sample]) -> dict[str, Any] | None:
    """Count, least, median, 95th percentile (interpolated between the nearest ranks), greatest, and which that was."""
    if not samples:
        return None
    seconds = [each.seconds for each in samples]
    cuts = statistics.quantiles(seconds, n=20, method="inclusive") if len(seconds) > 1 else seconds * 19
    slowest = max(samples, key=lambda each: each.seconds)
    return {
        "count": len(seconds),
        "min": round(min(seconds), 3),
        "p50": round(statistics.median(seconds), 3),
        "p95": round(cuts[18], 3),
        "max": round(slowest.seconds, 3),
        "slowest": slowest.what,
    }


def _range(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {
        "min": round(min(values), 1),
        "p50": round(statistics.median(values), 1),
        "max": round(max(values), 1),
    }


def measure(cluster: Cluster, chosen: Sequence[Lab], say: Say = lambda text: None) -> Result:
    """Measure the `chosen` labs on `cluster`, which is up. Resets all labs there; takes minutes for each lab."""
    api = kube.connect(cluster.kubeconfig)
    result = Result(
        machine={
            "processors": os.cpu_count(),
            "kernel": platform.release(),
            "root": os.geteuid() == 0,
            "load_before": [round(value, 2) for value in os.getloadavg()],
            "backend": cluster.backend,
        }
    )
    _starts(api, chosen, result, say)
    for lab, exercise in every(chosen):
        _exercise(api, lab, exercise, result, say)
    with own_record():
        _memory(cluster, chosen, result, say)
    return result


def _starts(api: ApiClient, chosen: Sequence[Lab], result: Result, say: Say) -> None:
    """`lab.start` of each lab from each lab, in the state in which its last exercise begins."""

    def used(world: World) -> None:
        last = world.lab.exercises[-1].id
        say(f"solving lab {world.lab.id} up to {last}")
        try:
            solve_until(world, last, lambda text: None)
        except Exception as error:
            result.unexpected.append(f"solving lab {world.lab.id}: {_first_line(error)}")

    try:
        for before, lab, seconds in tour.pairs(api, chosen, used):
            say(f"start of {lab.id} after {before.id}: {seconds:.1f} s")
            result.start.append(Sample(f"{before.id} to {lab.id}", seconds))
    except LabsError as error:
        result.unexpected.append(f"lab.start: {_first_line(error)}")


def _exercise(api: ApiClient, lab: Lab, exercise: Exercise, result: Result, say: Say) -> None:
    judge = Judge(api, lab, exercise, say)
    result.exercises += 1
    for answer, wanted in answers(lab, exercise):
        result.answers += 1
        what = f"{exercise.id}: {answer.name}"
        try:
            judged = judge.judge(answer, twice=True)
        except Exception as error:
            result.unexpected.append(f"{what}: {_first_line(error)}")
            continue
        if judged.diagnostic == "interrupted":
            raise KeyboardInterrupt  # a check makes a verdict of it, as a learner expects; here it ends everything
        if judged.verdict != wanted:
            result.unexpected.append(f"{what}: {judged.verdict} {judged.diagnostic}, wanted {wanted}")
            continue
        if judged.seconds_offline is not None:
            result.offline.append(Sample(what, judged.seconds_offline))
        if judged.seconds_live is not None:
            samples = result.live_pass if judged.verdict == "pass" else result.live_not_yet
            samples.append(Sample(what, judged.seconds_live))


def answers(lab: Lab, exercise: Exercise) -> Iterator[tuple[Answer, str]]:
    """Every answer of an exercise that is kept, with the verdict that it must get."""
    yield Answer("as shipped", shipped_of(lab, exercise.id)), "not_yet"
    for answer in solutions(lab, exercise):
        yield answer, "pass"
    for wrong in exercise.wrong:
        text = (lab.directory / "wrong" / exercise.id / wrong.file).read_text(encoding="utf-8")
        yield Answer(wrong.file, text, wrong.file.endswith(".yaml"), wrong.elsewhere), "not_yet"


@contextmanager
def own_record() -> Iterator[None]:
    """A record of progress and settings of our own, for programs that are started within: not the learner's."""
    before = os.environ.get("XDG_DATA_HOME")
    with TemporaryDirectory(prefix="labs-bench-") as place:
        os.environ["XDG_DATA_HOME"] = place
        try:
            yield
        finally:
            if before is None:
                del os.environ["XDG_DATA_HOME"]
            else:
                os.environ["XDG_DATA_HOME"] = before


def _memory(cluster: Cluster, chosen: Sequence[Lab], result: Result, say: Say) -> None:
    """JupyterLab and a kernel as `labs notebook` starts them, in which each lab is opened and checked in turn."""
    import psutil

    from labsupport.course import jupyter

    roots = [psutil.Process(pid) for pid in cluster.processes()]
    if not roots:
        result.unexpected.append("memory: the cluster runs on another machine, or not at all")
        return
    with TemporaryDirectory(prefix="labs-") as place:
        root, state = Path(place) / "work", Path(place) / "state"
        root.mkdir()
        with jupyter.serve(root, cluster.kubeconfig, cluster=cluster.name, state=state) as server:
            lab_process = psutil.Process(server.child.pid)
            with _kernel(server) as run:
                run("from labsupport.course import lab")
                for lab in chosen:
                    say(f"memory with lab {lab.id} open")
                    try:
                        run(f"lab.start({lab.id!r}); lab.check({lab.exercises[0].id!r})")
                    except LabsError as error:
                        result.unexpected.append(f"memory with lab {lab.id}: {error.what}")
                        continue
                    result.memory.append(
                        Memory(
                            lab.id,
                            pss_mb(each for one in roots for each in (one, *one.children(recursive=True))),
                            pss_mb([lab_process]),
                            pss_mb(lab_process.children(recursive=True)),
                        )
                    )


def pss_mb(processes: Sequence[psutil.Process] | Iterator[psutil.Process]) -> float:
    """Proportional shares of memory of some processes together, in MB."""
    from labsupport.cluster.embedded.inspect import pss_bytes

    return sum(pss_bytes(process) or 0 for process in processes) / 2**20


@contextmanager
def _kernel(server: Any) -> Iterator[Callable[[str], None]]:
    """A kernel of a running JupyterLab, and a function that runs code in it. Errors: LabsError if the code raises."""
    import psutil
    import requests
    from jupyter_client.blocking.client import BlockingKernelClient

    made = requests.post(
        f"http://127.0.0.1:{server.port}/api/kernels",
        headers={"Authorization": f"token {server.token}"},
        timeout=30,
    )
    made.raise_for_status()
    runtime = Path(psutil.Process(server.child.pid).environ()["JUPYTER_RUNTIME_DIR"])
    client = BlockingKernelClient()
    client.load_connection_file(str(runtime / f"kernel-{made.json()['id']}.json"))
    client.start_channels(
        hb=False
    )  # a kernel that is still starting answers no heartbeat, and would count as dead

    def run(code: str) -> None:
        reply = client.execute_interactive(code, timeout=180, output_hook=lambda message: None)
        if reply["content"]["status"] != "ok":
            raise LabsError(f"{reply['content'].get('ename')}: {reply['content'].get('evalue')}")

    try:
        client.wait_for_ready(timeout=60)
        yield run
    finally:
        client.stop_channels()


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def describe(result: Result) -> str:
    """The results as a person reads them."""
    machine = result.machine
    load = ", ".join(f"{value:.1f}" for value in machine.get("load_before", ()))
    lines = [
        f"{machine.get('processors')} processors, Linux {machine.get('kernel')}, load before: {load}; "
        f"{result.exercises} exercises, {result.answers} answers",
        "",
        f"{'SECONDS':28}{'COUNT':>6}{'LEAST':>8}{'MEDIAN':>8}{'P95':>8}{'MOST':>8}  PROMISED P95",
    ]
    names = {
        "offline": "check without the cluster",
        "live_pass": "check on the cluster: pass",
        "live_not_yet": "check on the cluster: not yet",
        "start": "lab.start, any after any",
    }
    for name, words in names.items():
        found = spread(getattr(result, name))
        if found is None:
            lines.append(f"{words:28}{'nothing was measured':>22}")
            continue
        verdict = "kept" if kept(name, getattr(result, name)) else "NOT KEPT"
        numbers = "".join(f"{found[key]:8.2f}" for key in ("min", "p50", "p95", "max"))
        lines.append(f"{words:28}{found['count']:6}{numbers}  {PROMISED[name]:g} s: {verdict}")
        lines.append(f"{'':28}  slowest: {found['slowest']}")
    lines += [
        "",
        f"{'MEMORY (PSS, MB)':28}{'LEAST':>8}{'MEDIAN':>8}{'MOST':>8}  over {len(result.memory)} labs",
    ]
    for part in ("cluster", "jupyterlab", "kernel", "total"):
        values = _range([getattr(each, part) for each in result.memory])
        if values:
            lines.append(f"{part:28}" + "".join(f"{values[key]:8.0f}" for key in ("min", "p50", "max")))
    if result.unexpected:
        lines += ["", "Not as it must be:", *(f"  {each}" for each in result.unexpected)]
    return "\n".join(lines)
