"""A learner's first quarter of an hour, in a real browser: open lab 00, run all, answer, press the button, read "Pass".

Screenshots are left in test-results/ for people to look at.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from labsupport import kube, paths
from labsupport.cluster.interface import Cluster
from labsupport.course import jupyter, notebook
from labsupport.course.authoring import solution_of
from labsupport.course.manifest import find_lab
from labsupport.course.world import World, empty

pytestmark = [pytest.mark.browser, pytest.mark.on_cluster]
sync_api = pytest.importorskip("playwright.sync_api")

SHOTS = paths.REPOSITORY / "test-results"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
IDLE = (
    "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
    " && window.jupyterapp.shell.currentWidget.content?.model?.cells.length > 5"
)
CELLS = "() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells"
ANSWER = """(text) => {
  const content = window.jupyterapp.shell.currentWidget.content;
  const number = content.widgets.findIndex(
    cell => cell.model.type === 'code' && cell.model.sharedModel.getSource().includes('YOUR YAML HERE'));
  content.activeCellIndex = number;
  content.activeCell.model.sharedModel.setSource(text);
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def lab_page(
    chromium: Any,
    cluster: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Any]:
    """Lab 00, opened through the same code as `labs notebook` uses, on a copy and a record of its own."""
    theme = request.param
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    lab = find_lab("00")
    empty(World(kube.connect(cluster.kubeconfig), lab))
    root = tmp_path / "learner"
    copy = notebook.open_copy(lab, work=root / "work")
    SHOTS.mkdir(exist_ok=True)
    with jupyter.serve(
        root, cluster.kubeconfig, cluster=cluster.name, state=tmp_path / "state", for_tests=True
    ) as server:
        if theme == "dark":
            _choose_dark(server)
        page = chromium.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(15_000)
        page.theme = theme
        page.outside = []
        page.on(
            "request", lambda sent: page.outside.append(sent.url) if "127.0.0.1" not in sent.url else None
        )
        page.goto(server.url(copy.path, root))
        page.wait_for_function(IDLE, timeout=60_000)
        page.server = server
        yield page
        page.close()


def _choose_dark(server: jupyter.Server) -> None:
    """Set the theme as the settings editor does: by the settings API."""
    import requests

    answer = requests.put(
        f"http://127.0.0.1:{server.port}/lab/api/settings/@jupyterlab/apputils-extension:themes",
        headers={"Authorization": f"token {server.token}"},
        data=json.dumps({"raw": '{"theme": "JupyterLab Dark"}'}),
        timeout=10,
    )
    assert answer.status_code == 204, answer.text


@pytest.mark.parametrize("lab_page", ["light", "dark"], indirect=True)
def test_a_learner_solves_the_first_exercise(lab_page: Any) -> None:
    page = lab_page
    page.evaluate(RUN_ALL)
    _no_errors(page)
    output = page.locator(".jp-OutputArea-output")
    verdict = output.locator(".labs-verdict")
    verdict.wait_for()
    assert verdict.get_attribute("data-verdict") == "not_yet"
    assert verdict.get_attribute("role") == "status"
    _shots(page, "unanswered")

    panel = output.filter(has=page.locator(".labs-verdict"))
    panel.get_by_role("button", name="Hint").click()
    panel.get_by_text("Hint 1 of 3").wait_for()

    page.evaluate(ANSWER, solution_of(find_lab("00"), "00-expose"))
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")
    page.wait_for_function(IDLE)
    panel.get_by_role("button", name="Check").click()
    output.locator('.labs-verdict[data-verdict="pass"]').wait_for()
    assert output.locator(".labs-verdict").inner_text().startswith("Pass")
    _shots(page, "passed")
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


def _no_errors(page: Any) -> None:
    errors = [
        output
        for cell in page.evaluate(CELLS)
        for output in cell.get("outputs", [])
        if output["output_type"] == "error"
    ]
    assert errors == []


def _shots(page: Any, name: str) -> None:
    """Pictures of each output that we draw, and of the page at the panel."""
    for number, place in enumerate(page.locator(".jp-OutputArea-output svg[role=img]").all(), 1):
        place.scroll_into_view_if_needed()
        place.screenshot(path=SHOTS / f"lab00-{page.theme}-{name}-picture{number}.png")
    place = page.locator(".labs-verdict")
    place.scroll_into_view_if_needed()
    page.screenshot(path=SHOTS / f"lab00-{page.theme}-{name}.png")
