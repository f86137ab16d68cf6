"""Labs on kind: their notebooks run from top to bottom, and each check says what it must.

Two of them unless KIND_LABS names others ("m1 m2"): lab O2 is the one that puts learners' programs into the cluster,
which is another way on kind than on our own nodes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labsupport import kube
from labsupport.cluster.interface import Cluster
from labsupport.course.manifest import find_lab
from labsupport.course.proofs import content
from labsupport.paths import LABS, REPOSITORY

TRIED = os.environ.get("KIND_LABS", "00 o2").split()


@pytest.mark.parametrize("lab", TRIED)
@pytest.mark.parametrize(("tree", "expected"), [("solutions", "pass"), ("", "notyet")])
def test_notebook(lab: str, tree: str, expected: str, cluster: Cluster) -> None:
    environment = os.environ | {
        "LABS_EXPECT": expected,
        "LABS_KUBECONFIG": str(cluster.kubeconfig),
        "LABS_CLUSTER": cluster.name,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--nbval-lax",
        "--nbval-current-env",
    ]
    notebook = LABS / tree / f"{find_lab(lab).notebook}.ipynb"
    done = subprocess.run(
        [*command, "--nbval-cell-timeout", "120", str(notebook)],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_exercises_are_honest(cluster: Cluster) -> None:
    for result in content.prove(kube.connect(cluster.kubeconfig), content.every([find_lab("00")])):
        assert result.ok, result
