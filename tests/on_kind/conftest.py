"""Every test below needs a Docker that reaches nothing; `.ci/kind-host` gives it, and without it nothing is started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from labsupport.cluster import get
from labsupport.cluster.interface import Cluster

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, and skip them where a node's packets could leave the machine."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.on_kind)
            if os.environ.get("KIND_HOST") != "guarded":
                item.add_marker(pytest.mark.skip(reason="not inside of .ci/kind-host"))


@pytest.fixture(scope="session")
def cluster(private_home: Path) -> Iterator[Cluster]:
    """The run's kind cluster, up and ready; taken down at the end."""
    made = get("test", "kind")
    try:
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
