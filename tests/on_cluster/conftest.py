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
