"""A plugin for `pytest --nbval-lax`: one cluster for all notebooks, and for each what its checks must say.

nbval runs the cells (lax: it compares no outputs); `lab.check` turns into an assertion by LABS_EXPECT: in the learners'
tree each says "not yet", in the solutions' tree "pass". A check that is always green fails the first, one that cannot
be passed the second. Notebooks that run side by side are those of different learners, as far as the cluster can tell.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from labsupport.paths import LABS

CLUSTER_NAME = "notebooks"
_home = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


def _controls(config: pytest.Config) -> bool:
    """Whether this process starts the others, or does all by itself."""
    return not hasattr(config, "workerinput")


@pytest.hookimpl(tryfirst=True)  # before workers are started, which inherit what is set here
def pytest_sessionstart(session: pytest.Session) -> None:
    if not _controls(session.config) or session.config.option.collectonly:
        return
    from labsupport.cluster import get

    home = tempfile.TemporaryDirectory(prefix="labs-notebooks-")
    session.config.stash[_home] = home
    os.environ["XDG_STATE_HOME"] = f"{home.name}/state"
    os.environ["XDG_DATA_HOME"] = f"{home.name}/data"
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    cluster = get(CLUSTER_NAME)
    cluster.up()
    os.environ["LABS_KUBECONFIG"] = str(cluster.kubeconfig)
    os.environ["LABS_CLUSTER"] = cluster.name


def pytest_unconfigure(config: pytest.Config) -> None:
    home = config.stash.get(_home, None)
    if home is None:
        return
    from labsupport.cluster import get

    try:
        get(CLUSTER_NAME).down()
    finally:
        home.cleanup()


@pytest.hookimpl(tryfirst=True)  # before nbval starts the notebook's kernel
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.path.suffix != ".ipynb":
        return
    notebook = item.path.relative_to(LABS)
    os.environ["LABS_EXPECT"] = "pass" if notebook.parts[0] == "solutions" else "notyet"
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        os.environ["LABS_LEARNER"] = worker
        # A learner's predictions and hints are kept there; the next notebook is another learner's.
        os.environ["XDG_DATA_HOME"] = (
            f"{os.environ['XDG_STATE_HOME']}/data-of-{worker}-{notebook.stem}-{notebook.parts[0]}"
        )
