"""Run Kubernetes' own end-to-end tests against an embedded cluster, from inside its namespaces.

ginkgo runs them in several processes at once, and those that must be alone afterwards, one after another. The process
that is started here goes into the node and takes everything that the suite started with it when it ends.
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labsupport import kube, paths
from labsupport.cluster import binaries, process, versions
from labsupport.cluster.conformance import prepare, progress, results, selection
from labsupport.cluster.directory import ClusterDirectory
from labsupport.cluster.embedded import inside
from labsupport.console import phase
from labsupport.errors import LabsError

REPORT = "report.json"
JUNIT = "junit.xml"
NAMESPACES = "e2e-framework"  # the label of each namespace that the suite makes
KEPT_LINES = 200_000  # of the console text; a whole run writes some
LEAVE_SECONDS = 120.0  # for the namespaces of an interrupted run
# What the tests' programs may see of this process's environment: nothing but this.
ENVIRONMENT = {
    "PATH": f"{prepare.PLACE}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": f"{prepare.PLACE}/home",
    "TMPDIR": f"{prepare.PLACE}/home",
    "LANG": "C.UTF-8",
    "KUBE_TEST_REPO_LIST": f"{prepare.PLACE}/repositories.yaml",
}


@dataclass(frozen=True)
class Choice:
    """Which tests, as the person said it; `processes` is how many run side by side (None: as suite.toml says)."""

    sigs: tuple[str, ...] = ()
    focus: str | None = None
    quick: bool = False
    processes: int | None = None


def in_cache(cache_dir: Path) -> list[str]:
    """The programs of the suite that would have to be built."""
    from labsupport.cluster.binaries import store

    programs = [versions.program(name) for name in prepare.PROGRAMS]
    return [each.name for each in programs if store.find(cache_dir, each.name, each.version)[0] is None]


def run(
    directory: ClusterDirectory, choice: Choice, output: Path | None = None, *, tidy: bool = True
) -> results.Results:
    """Run the chosen tests on a running cluster and say what became of each.

    `output`: a directory for the suite's own report, JUnit XML and console text. The cluster is as before afterwards,
    also after an interruption, unless `tidy` is false, for one that is about to go; namespaces that an earlier run left
    go first. LabsError when the suite cannot run.
    """
    settings = selection.load()
    chosen = selection.words(choice.sigs, choice.focus, settings.quick if choice.quick else ())
    programs = binaries.ensure(prepare.PROGRAMS, cache_dir=paths.cache())
    processes = choice.processes or settings.processes
    files = {name: program.path for name, program in programs.items()}
    with (
        directory.locked("conformance kubernetes"),
        prepare.prepared(directory, files, settings.repositories()) as prepared,
    ):
        if tidy:
            remove_namespaces(directory.kubeconfig)
        try:
            began = time.monotonic()
            finished = _run_suite(prepared, chosen, processes, settings.minutes)
            if output is not None:
                _keep(prepared.outside, finished, output)
            return _read(prepared, finished, began, processes)
        finally:
            if tidy:
                remove_namespaces(directory.kubeconfig)


def arguments(chosen: Sequence[str], processes: int, minutes: int, nodes: int) -> list[str]:
    """ginkgo and its words, then the suite and its own; `nodes` is how many of the cluster run."""
    place = prepare.PLACE
    return [
        f"{place}/bin/ginkgo",
        "run",
        f"--procs={processes}",
        *chosen,
        "--no-color",
        "-v",
        "--silence-skips",
        f"--timeout={minutes}m",
        "--poll-progress-after=0",
        f"--output-dir={place}/out",
        f"--json-report={REPORT}",
        f"--junit-report={JUNIT}",
        f"{place}/bin/e2e.test",
        "--",
        f"--kubeconfig={place}/kubeconfig",
        f"--kubectl-path={place}/bin/kubectl",
        "--provider=local",
        f"--num-nodes={nodes}",
        "--disable-log-dump",
        "--dump-logs-on-failure=false",
    ]


def _run_suite(
    prepared: prepare.Prepared, chosen: Sequence[str], processes: int, minutes: int
) -> process.Finished:
    with phase(f"Kubernetes' own tests, {processes} at once") as shown:
        return process.run(
            inside.command(prepared.init, arguments(chosen, processes, minutes, prepared.nodes)),
            # The module is found by the host's Python; in the node PYTHONPATH means nothing to the suite.
            env=ENVIRONMENT | {"PYTHONPATH": str(paths.REPOSITORY)},
            on_line=progress.Counter(shown.update).line,
            keep=KEPT_LINES,
        )


def _read(
    prepared: prepare.Prepared, finished: process.Finished, began: float, processes: int
) -> results.Results:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    machine: dict[str, Any] = {
        "kubernetes": versions.load().versions["kubernetes"],
        "seconds": round(time.monotonic() - began, 1),
        "processes": processes,
        "machine": {
            "processors": os.cpu_count(),
            "memory_gb": round(memory / 1e9, 1),
            "kernel": platform.release(),
            "load_after": [round(value, 1) for value in os.getloadavg()],
            "root": os.geteuid() == 0,
            "nodes": prepared.nodes,
        },
    }
    try:
        return results.read(prepared.outside / "out" / REPORT, machine)
    except LabsError as error:
        raise LabsError(f"{error.what}: {finished.reason(8)}") from error


def _keep(outside: Path, finished: process.Finished, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    for file in (outside / "out").iterdir():
        if file.is_file():
            shutil.copyfile(file, output / file.name)
    (output / "console.txt").write_text(finished.stdout + "\n" + finished.stderr)


def remove_namespaces(kubeconfig: Path) -> None:
    """Delete the namespaces that a run left in the cluster, and wait until they are gone."""
    api = kube.connect(kubeconfig)
    left = [
        each
        for each in kube.list_objects(api, "v1", "Namespace")
        if NAMESPACES in (each["metadata"].get("labels") or {})
    ]
    if left:
        with phase(f"removing {len(left)} namespaces that the suite left"):
            kube.delete(api, left, timeout=LEAVE_SECONDS)
