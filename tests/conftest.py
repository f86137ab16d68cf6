"""One cluster for all tests of a run that need one, and what a person would look at when such a test fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from labsupport.cluster.interface import Cluster

# Started in the background of a script we would inherit that Ctrl-C is ignored, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

LABS = [sys.executable, "-m", "labsupport.cli"]
CLUSTER_NAME = "test"


@pytest.fixture(scope="session")
def private_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """State and data directories of this run's own; the cache stays the user's, or every run would build all anew."""
    home = tmp_path_factory.mktemp("home")
    changed = {"XDG_STATE_HOME": str(home / "state"), "XDG_DATA_HOME": str(home / "data")}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    yield home
    for name, value in before.items():
        if value is None:
            os.environ.pop(name)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def cluster(private_home: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The run's cluster, up and ready; taken down at the end."""
    from labsupport.cluster import get

    made = get(CLUSTER_NAME)
    capture = request.config.pluginmanager.getplugin("capturemanager")
    try:
        # The first time this builds Kubernetes for minutes: its progress is for the person who waits, not for a report.
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            print(file=sys.stderr)
            made.up()
        yield made
    finally:
        made.down()


Kubectl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def kubectl(cluster: Cluster) -> Kubectl:
    """`kubectl(*arguments, check=True, input="")`: runs it on the run's cluster; a failure shows what it said."""
    program = str(cluster.kubectl())

    def run(
        *arguments: str, check: bool = True, input: str = "", timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [program, "--kubeconfig", str(cluster.kubeconfig), *arguments],
            input=input,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode:
            raise AssertionError(
                f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}"
            )
        return done

    return run


@pytest.fixture
def namespace(kubectl: Kubectl, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, removed afterwards."""
    name = "t-" + "".join(c if c.isalnum() else "-" for c in request.node.name.lower())[:40].strip("-")
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Add the cluster's own account to a failed test's report."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed and call.when == "call" and "kubectl" in getattr(item, "fixturenames", ()):
        run = item.funcargs["kubectl"]  # type: ignore[attr-defined]
        for title, arguments in (
            ("Nodes", ("get", "nodes", "-o", "wide")),
            ("Pods", ("get", "pods", "-A", "-o", "wide")),
            ("Events", ("get", "events", "-A", "--sort-by=.lastTimestamp")),
        ):
            try:
                done = run(*arguments, check=False, timeout=10)
                report.sections.append((title, (done.stdout + done.stderr)[-6000:]))
            except (OSError, subprocess.SubprocessError) as error:
                report.sections.append((title, str(error)))
