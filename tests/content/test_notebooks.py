"""Both notebooks of lab 00 run from top to bottom on a cluster, and each check says what it must.

The other labs' run in a stage of their own (`make ci-labs`); notebooks_plugin.py says how verdicts are asserted.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labsupport.cluster.interface import Cluster
from labsupport.course.manifest import find_lab
from labsupport.paths import LABS, REPOSITORY

pytestmark = pytest.mark.on_cluster
CELL_TIMEOUT = 120  # seconds; a dead kernel is noticed only then


@pytest.mark.parametrize(("tree", "expected"), [("", "notyet"), ("solutions", "pass")])
def test_notebook(tree: str, expected: str, cluster: Cluster, private_home: Path) -> None:
    environment = os.environ | {
        "LABS_EXPECT": expected,
        "LABS_KUBECONFIG": str(cluster.kubeconfig),
        "LABS_CLUSTER": cluster.name,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                "--nbval-lax",
                "--nbval-current-env",
            ),
            *(
                "--nbval-cell-timeout",
                str(CELL_TIMEOUT),
                str(LABS / tree / f"{find_lab('00').notebook}.ipynb"),
            ),
        ],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
