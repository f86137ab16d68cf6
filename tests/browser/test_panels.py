"""The panels in a real browser: check with its ladder of help, progress, the live table; and what a restart leaves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

from labsupport import kube
from labsupport.cluster.interface import Cluster
from labsupport.course.manifest import find_lab
from labsupport.course.worlds.world import World

if TYPE_CHECKING:
    from tests.browser.conftest import OpenLab

pytestmark = [pytest.mark.browser, pytest.mark.on_cluster]

CELLS = [
    'from labsupport.course import lab\n\nlab.start("00")',
    "lab.progress()",
    'table = lab.table("v1", "Pod")\ntable',
    'lab.check("00-expose")',
]
THREADS = """import threading
names = [each.name for each in threading.enumerate()]
print("tables:", sum(name.startswith("labs table") for name in names))"""


def notebook(root: Path) -> Path:
    path = root / "panels.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    book.cells.append(nbformat.v4.new_code_cell(THREADS))
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, path)
    return path


def press(place: Any, name: str) -> None:
    """Press a button of a panel that is at rest: an answer that arrives just now would move the button away."""
    place.filter(has_not=place.page.locator("button:disabled")).wait_for()
    place.page.wait_for_timeout(500)  # it redraws; and two presses in less than that are a double click
    place.get_by_role("button", name=name).click()


def said(place: Any, words: str) -> None:
    place.filter(has_text=re.compile(words)).first.wait_for()


def test_the_panels(open_lab: OpenLab, cluster: Cluster, tmp_path: Path) -> None:
    root = tmp_path / "learner"
    page = open_lab(notebook(root), root)
    page.run_all()
    check = page.outputs.filter(has=page.page.locator(".labs-verdict"))
    check.wait_for()
    progress = page.outputs.locator(".labs-progress")
    said(progress, "Not yet.*1 check")

    # The ladder: three hints, one at a time; the solution after three failed checks.
    press(check, "Solution")
    said(check, "is not open yet")
    for level in (1, 2, 3):
        press(check, ("Hint", "Next hint", "Next hint")[level - 1])
        said(check, f"Hint {level} of 3")
    page.scan()
    page.shot("panel-hints", check)
    for count in (2, 3):
        press(check, "Check again")
        said(progress, f"Not yet.*{count} checks")
    said(check, r'lab\.solution\("00-expose"\)')
    press(check, "Solution")
    said(check, "One solution of 00-expose")
    said(progress, "3 checks.*3 hints and solution")
    page.scan()
    page.shot("panel-solution", check)
    page.shot("panel-progress", progress)

    # The live table follows what happens.
    table = page.outputs.filter(has_text=re.compile("Pod in lab-00: "))
    said(table, "ledger")
    world = World(kube.connect(cluster.kubeconfig), find_lab("00"))
    kube.apply(world.api, kube.load(find_lab("00").directory / "start/web.yaml"), namespace=world.namespace)
    said(table, "new: web-.*Status was .*, is Running")
    page.scan()
    page.shot("panel-table", table)
    press(table, "Stop")
    said(table, "Not watching")
    assert page.outside == []


def test_a_cell_run_again_leaves_one_thread_and_a_restart_leaves_words(
    open_lab: OpenLab, tmp_path: Path
) -> None:
    root = tmp_path / "learner"
    path = notebook(root)
    page = open_lab(path, root)
    page.run_all()
    page.run_all()
    last = page.outputs.last
    # The first table's thread ends with its watch.
    for _ in range(20):
        if "tables: 1" in last.inner_text():
            break
        page.page.wait_for_timeout(200)
        page.command("notebook:run-cell")
    assert last.inner_text().strip() == "tables: 1"
    page.command("docmanager:save")
    page.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    page.idle()
    page.open(path, root)  # a learner's next day
    check = page.outputs.filter(has=page.page.locator(".labs-verdict"))
    said(check, "Not yet")
    said(check, "restart of the kernel")
    said(page.outputs.locator(".labs-progress"), "Your progress")
    page.shot("panel-after-restart", check)
