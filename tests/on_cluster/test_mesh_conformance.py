"""The Gateway API's own tests of a mesh, strict mutual TLS in its namespaces, where its program is in the cache."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from labsupport import paths
from labsupport.cluster import versions
from labsupport.cluster.binaries import store
from labsupport.cluster.conformance.gateway import PROGRAM
from labsupport.cluster.interface import Cluster
from tests.conftest import LABS


def test_the_gateway_apis_suite(cluster: Cluster, mesh: Callable[..., dict[str, Any]]) -> None:
    program = versions.program(PROGRAM)
    if not os.environ.get("CONFORMANCE_BUILD"):
        found, reason = store.find(paths.cache(), program.name, program.version)
        if found is None:
            pytest.skip(f"{PROGRAM}: {reason}; CONFORMANCE_BUILD=1 builds it (two minutes)")
    command = [*LABS, "conformance", "mesh", "--name", cluster.name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
