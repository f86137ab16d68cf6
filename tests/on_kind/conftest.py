"""Every test below needs a Docker that reaches nothing; `.ci/kind-host` gives it, and without it nothing is started."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labsupport.cluster import get
from labsupport.cluster.bundle import manifest
from labsupport.cluster.interface import Cluster, SeveralNodes

HERE = Path(__file__).parent
NODES = 3


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, and skip them where a node's packets could leave the machine."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.on_kind)
            if os.environ.get("KIND_HOST") != "guarded":
                item.add_marker(pytest.mark.skip(reason="not inside of .ci/kind-host"))


@pytest.fixture(scope="session")
def cluster(private_home: Path) -> Iterator[SeveralNodes]:
    """The run's kind cluster of three nodes, up and ready; taken down at the end.

    From the bundle that KIND_BUNDLE names, with an empty cache: as on a machine that reaches nothing.
    """
    made = get("test", "kind", nodes=NODES)
    try:
        if directory := os.environ.get("KIND_BUNDLE"):
            command = [
                sys.executable,
                "-m",
                "labsupport.cli",
                "up",
                "--name",
                made.name,
                "--backend",
                "kind",
                "--nodes",
                f"{NODES}",
            ]
            command += ["--bundle", directory, "--digest", manifest.read(Path(directory))[1], "--json"]
            environment = os.environ | {"XDG_CACHE_HOME": str(private_home / "cache")}
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            print(f"kind from a bundle: {json.loads(done.stdout)['seconds']} s", file=sys.stderr)
            shutil.rmtree(private_home / "cache")  # 2 GB that the cluster no longer needs
        else:
            made.up()
        yield made
    finally:
        made.down()


@pytest.fixture(scope="session")
def embedded(private_home: Path) -> Iterator[Cluster]:
    """An embedded cluster beside it."""
    made = get("beside", "embedded")
    try:
        made.up()
        yield made
    finally:
        made.down()
