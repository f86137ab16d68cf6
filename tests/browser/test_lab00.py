"""A learner's first quarter of an hour in a real browser: open lab 00, run all, answer, press the button: "Pass"."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from labsupport import kube
from labsupport.cluster.interface import Cluster
from labsupport.course import jupyter, notebook
from labsupport.course.authoring import solution_of
from labsupport.course.manifest import find_lab
from labsupport.course.worlds.world import World, empty

if TYPE_CHECKING:
    from tests.browser.conftest import LabPage, OpenLab

pytestmark = [pytest.mark.browser, pytest.mark.on_cluster]

ANSWER = """(text) => {
  const content = window.jupyterapp.shell.currentWidget.content;
  const number = content.widgets.findIndex(
    cell => cell.model.type === 'code' && cell.model.sharedModel.getSource().includes('YOUR YAML HERE'));
  content.activeCellIndex = number;
  content.activeCell.model.sharedModel.setSource(text);
}"""


def test_a_learner_solves_the_first_exercise(open_lab: OpenLab, cluster: Cluster, tmp_path: Path) -> None:
    lab = find_lab("00")
    empty(World(kube.connect(cluster.kubeconfig), lab))
    root = tmp_path / "learner"
    page = open_lab(notebook.open_copy(lab, work=root / "work").path, root)
    page.run_all()
    verdict = page.outputs.locator(".labs-verdict")
    verdict.wait_for()
    assert verdict.get_attribute("data-verdict") == "not_yet"
    assert verdict.get_attribute("role") == "status"
    _pictures(page)
    page.scan()
    page.shot("lab00-unanswered", verdict)

    page.page.evaluate(ANSWER, solution_of(lab, "00-expose"))
    page.command("notebook:run-cell")
    panel = page.outputs.filter(has=page.page.locator(".labs-verdict"))
    panel.get_by_role("button", name="Check again").click()
    page.outputs.locator('.labs-verdict[data-verdict="pass"]').wait_for()
    assert page.outputs.locator(".labs-verdict").inner_text().startswith("Pass")
    page.scan()
    page.shot("lab00-passed", verdict)
    assert page.outside == []
    _keeps_to_itself(page.server)


def _keeps_to_itself(server: jupyter.Server) -> None:
    """One TCP port of its own on loopback, the kernels' channels on unix sockets, no token on a command line."""
    main = psutil.Process(server.child.pid)
    kernels = main.children(recursive=True)
    assert kernels
    assert _listening(main) == [("127.0.0.1", server.port)]
    for kernel in kernels:
        # ipykernel's own pipe for the output of its children: it drops what does not begin with a secret (iostream.py).
        assert [host for host, _ in _listening(kernel)] in ([], ["127.0.0.1"])
    run = Path(main.environ()["JUPYTER_RUNTIME_DIR"])
    assert len([path for path in run.iterdir() if path.is_socket()]) >= 5
    assert not any(server.token in " ".join(process.cmdline()) for process in [main, *kernels])


def _listening(process: psutil.Process) -> list[tuple[str, int]]:
    connections = process.net_connections("inet")
    return [(each.laddr.ip, each.laddr.port) for each in connections if each.status == psutil.CONN_LISTEN]


def _pictures(page: LabPage) -> None:
    for number, place in enumerate(page.outputs.locator("svg[role=img]").all(), 1):
        page.shot(f"lab00-picture{number}", place)
