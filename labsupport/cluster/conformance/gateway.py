"""Run the Gateway API's conformance suite against our mesh, from the host, on a cluster of any back end.

The namespaces that the suite uses are there before it, with mutual TLS required in both: the suite finds them, adds its
own to them, and never sees a Pod that answers plaintext. That this is so is tried at the end, from a Pod outside of the
mesh. The suite's own clearing up is turned off: it would be left out when a run is interrupted, and ours is not.
"""

from __future__ import annotations

import os
import platform
import re
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import labsupport
from labsupport import kube, paths
from labsupport.cluster import binaries, gatewayapi, mesh, process, versions
from labsupport.cluster.conformance import gateway_results as results
from labsupport.cluster.directory import ClusterDirectory
from labsupport.console import phase
from labsupport.errors import LabsError
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

DIRECTORY = paths.CLUSTERS / "conformance" / "gateway"
PROGRAM = "gateway-conformance"
REPORT = "report.yaml"
CONSOLE = "console.txt"
KEPT_LINES = 200_000  # of the console text; a whole run writes some ten thousand
READY_SECONDS = patient(60.0)
LEAVE_SECONDS = patient(120.0)
OUTSIDE = ("gateway-conformance-outside", "outside")
TARGET = "http://echo-v1.gateway-conformance-mesh/"
# How curl ends when the other side took the connection and closed it: nothing received (52), reset (56).
CLOSED = (52, 56)
# Who has built what is tested, for the report.
IMPLEMENTATION = {
    "organization": "labs.example",
    "project": "mesh",
    "url": "https://labs.example",
    "version": labsupport.__version__,
    "contact": "@labs.example",
}

Mesh = Callable[[Path], AbstractContextManager[None]]


class Settings(BaseModel):
    """The content of suite.toml; see there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profiles: tuple[str, ...]
    features: tuple[str, ...]
    echo: str
    labels: dict[str, str]
    minutes: int = Field(gt=0)


def load(file: Path = DIRECTORY / "suite.toml") -> Settings:
    """Read suite.toml. LabsError on a bad file."""
    try:
        return Settings.model_validate(tomllib.loads(file.read_text()))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise LabsError(f"{file}: {error}", fix=f"git checkout -- {file}") from error


@dataclass(frozen=True)
class Choice:
    """Which tests, as the person said it: profiles (none: all), and what a test's name must match."""

    profiles: tuple[str, ...] = ()
    focus: str | None = None


def arguments(choice: Choice, settings: Settings, report: Path) -> list[str]:
    """The suite's own words. LabsError for a profile that there is not, or a focus that is no regular expression."""
    if unknown := [name for name in choice.profiles if name not in settings.profiles]:
        raise LabsError(f"no profile {', '.join(unknown)}", fix=f"choose from {', '.join(settings.profiles)}")
    run = "^TestConformance$"
    if choice.focus:
        try:
            re.compile(choice.focus)
        except re.error as error:
            raise LabsError(f"--focus is no regular expression: {error}") from error
        if "/" in choice.focus:
            raise LabsError("--focus is matched with the names of tests, which have no /")
        run += f"/({choice.focus})"  # in parentheses: else an | in it would end the part before the / as well
    return [
        f"-test.run={run}",
        "-test.v",
        f"-test.timeout={settings.minutes}m",
        f"-conformance-profiles={','.join(choice.profiles or settings.profiles)}",
        f"-supported-features={','.join(settings.features)}",
        f"-namespace-labels={','.join(f'{name}={value}' for name, value in settings.labels.items())}",
        "-cleanup-base-resources=false",
        f"-report-output={report}",
        *(f"-{name}={value}" for name, value in IMPLEMENTATION.items()),
    ]


@contextmanager
def our_mesh(kubeconfig: Path, *, leave: bool = False) -> Iterator[None]:
    """The mesh on a cluster: as it is where it is there, else installed, and gone at the end unless `leave`."""
    from labsupport.mesh.admin.status import status
    from labsupport.mesh.admin.uninstall import uninstall

    api = kube.connect(kubeconfig)
    if status(api).installed:
        yield
        return
    try:
        with phase("installing the mesh") as shown:
            mesh.install(api, shown.update)
        yield
    finally:
        if not leave:
            with phase("removing the mesh") as shown:
                uninstall(api, mesh.documents(), progress=shown.update)


def run(
    directory: ClusterDirectory,
    choice: Choice,
    output: Path | None = None,
    *,
    tidy: bool = True,
    mesh: Mesh | None = None,
) -> results.Results:
    """Run the chosen tests on a running cluster and say what became of each.

    `output`: a directory for the suite's own report and its console text. `mesh`: what is tested, where it is not our
    mesh. The cluster is as before afterwards, also after an interruption, unless `tidy` is false, for one that is about
    to go; what an earlier run left goes first. LabsError when the suite cannot run.
    """
    settings = load()
    with tempfile.TemporaryDirectory(prefix="labs-conformance-") as scratch:
        report = Path(scratch, REPORT)
        words = arguments(choice, settings, report)
        program = binaries.ensure([PROGRAM], cache_dir=paths.cache())[PROGRAM].path
        with (
            directory.locked("conformance mesh"),
            process.termination_raised(),
            (mesh or partial(our_mesh, leave=not tidy))(directory.kubeconfig),
            _strict(directory.kubeconfig, tidy=tidy) as api,
        ):
            began = time.monotonic()
            finished = _run_suite([program, *words], directory.kubeconfig, settings, scratch)
            machine = _machine(time.monotonic() - began)
            if output is not None:
                _keep(report, finished, output)
            found = results.read(report, finished.stdout + "\n" + finished.stderr, machine)
            if not found.tests:
                raise LabsError(
                    "no test of the suite was chosen", fix="leave out --focus, or give another one"
                )
            return found.and_also(plaintext_refused(api))


def _run_suite(
    command: Sequence[str | Path], kubeconfig: Path, settings: Settings, scratch: str
) -> process.Finished:
    with phase("the Gateway API's conformance suite") as shown:
        return process.run(
            command,
            cwd=Path(scratch),
            # Nothing else of this process's environment: a proxy's settings would send it elsewhere.
            env={
                "KUBECONFIG": str(kubeconfig),
                "ECHO_IMAGE": settings.echo,
                "HOME": scratch,
                "TMPDIR": scratch,
            },
            on_line=results.Counter(shown.update).line,
            keep=KEPT_LINES,
        )


@contextmanager
def _strict(kubeconfig: Path, *, tidy: bool) -> Iterator[ApiClient]:
    """The objects of strict.yaml, without what an earlier run left, and gone with all in them at the end."""
    api = kube.connect(kubeconfig)
    documents = kube.load(DIRECTORY / "strict.yaml")
    namespaces = [each for each in documents if each["kind"] == "Namespace"]
    with phase("namespaces with strict mutual TLS"):
        kube.delete(api, namespaces, timeout=LEAVE_SECONDS)
        try:
            kube.apply(api, documents)
            pod = kube.Target("v1", "Pod", OUTSIDE[1], OUTSIDE[0])
            kube.until(api, pod, kube.ready, timeout=READY_SECONDS)
        except BaseException:
            kube.delete(api, namespaces, timeout=LEAVE_SECONDS)
            raise
    try:
        yield api
    finally:
        if tidy:
            with phase("removing what the suite made"):
                kube.delete(api, namespaces, timeout=LEAVE_SECONDS)


def plaintext_refused(api: ApiClient) -> results.Test:
    """Whether a Pod of the suite refuses plaintext from outside of the mesh: a test of ours beside those of the suite.

    Refused is a connection that was taken and closed without a word. One that failed otherwise says nothing.
    """
    from labsupport.kube.execute import execute

    # An exit status of 0, so that what was seen is not an error of the exec.
    words = f"curl -sS -o /dev/null -m 5 -w '%{{http_code}} ' {TARGET} 2>&1; echo \"status $?\""
    name = "StrictMutualTLS"
    try:
        said = " ".join(execute(api, *OUTSIDE, ["sh", "-c", words]).split())
    except LabsError as error:
        return results.Test(name, "failed", f"could not be tried: {error.what}")
    status = re.search(r"status (\d+)$", said)
    if status and int(status.group(1)) in CLOSED:
        return results.Test(name, "passed")
    return results.Test(
        name, "failed", f"plaintext from outside of the mesh to {TARGET} was not refused: {said}"
    )


def _machine(seconds: float) -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "gateway_api": versions.definitions(gatewayapi.NAME).version,
        "envoy": versions.load().versions["envoy"],
        "seconds": round(seconds, 1),
        "machine": {
            "processors": os.cpu_count(),
            "memory_gb": round(memory / 1e9, 1),
            "kernel": platform.release(),
            "load_after": [round(value, 1) for value in os.getloadavg()],
            "root": os.geteuid() == 0,
        },
    }


def _keep(report: Path, finished: process.Finished, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    if report.exists():
        (output / REPORT).write_bytes(report.read_bytes())
    (output / CONSOLE).write_text(finished.stdout + "\n" + finished.stderr)
