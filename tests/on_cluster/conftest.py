"""Every test below needs a cluster."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labsupport.cluster.interface import Cluster
from tests.conftest import LABS

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, so that `-m "not on_cluster"` leaves them out."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.on_cluster)


Mesh = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def mesh(cluster: Cluster) -> Iterator[Mesh]:
    """The mesh on the run's cluster; `mesh("status")` is what `labs mesh status --json` printed."""

    def labs_mesh(*words: str, status: int = 0) -> dict[str, Any]:
        command = [*LABS, "mesh", *words, "--name", cluster.name, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == status, f"labs mesh {' '.join(words)}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout else {}

    labs_mesh("install")
    yield labs_mesh
    labs_mesh("uninstall")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Add to a failed test's report what proxies that are not ready have to say."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    names = getattr(item, "fixturenames", ())
    if report.failed and call.when == "call" and "mesh" in names and "kubectl" in names:
        report.sections.append(("Proxies", unready_proxies(item.funcargs["kubectl"])))  # type: ignore[attr-defined]


def unready_proxies(kubectl: Callable[..., Any]) -> str:
    """The last lines of at most five proxies that are not ready, as they are and as they were before a restart."""
    pods = json.loads(kubectl("get", "pods", "-A", "-o", "json").stdout)["items"]
    lines = []
    for pod in pods:
        states = pod["status"].get("initContainerStatuses") or []
        ill = [each for each in states if each["name"] == "mesh-proxy" and not each["ready"]]
        if not ill or pod["status"]["phase"] in ("Succeeded", "Failed"):
            continue
        place = ("-n", pod["metadata"]["namespace"], pod["metadata"]["name"])
        lines.append(f"{place[1]}/{place[2]}: {ill[0]['state']}, before {ill[0].get('lastState')}")
        for previous in ("false", "true"):
            words = ("logs", *place, "-c", "mesh-proxy", "--tail=15", f"--previous={previous}")
            lines.append(kubectl(*words, check=False, timeout=20).stdout)
        if len(lines) > 15:
            break
    return "\n".join(lines)
