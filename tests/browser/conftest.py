"""JupyterLab in a real browser: a page on one notebook, light or dark, and what tests ask of it.

Screenshots are left in test-results/ for people to look at.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from labsupport import paths
from labsupport.cluster.interface import Cluster
from labsupport.course import jupyter

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
OUTPUT = ".jp-OutputArea-output"
WIDGET = "() => window.jupyterapp.shell.currentWidget"
IDLE = (
    "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
    " && window.jupyterapp.shell.currentWidget.content?.model?.cells.length > 2"
)
CELLS = f"() => ({WIDGET})().content.model.toJSON().cells"
# JupyterLab draws cells only once they are near, which moves those below.
SHOW = """async (place) => {
    let before = NaN;
    for (let still = 0, frames = 0; still < 12 && frames < 300; frames++) {
        place.scrollIntoView({ block: "center" });
        await new Promise(requestAnimationFrame);
        const now = place.getBoundingClientRect().top;
        still = now === before ? still + 1 : 0;
        before = now;
    }
}"""
COMMAND = "(name) => window.jupyterapp.commands.execute(name)"


class LabPage:
    """A browser's page with one notebook open in JupyterLab."""

    def __init__(self, page: Any, server: jupyter.Server, theme: str) -> None:
        self.page = page
        self.server = server
        self.theme = theme
        self.outside: list[str] = []
        page.set_default_timeout(15_000)
        page.on("request", lambda sent: self._note(sent.url))

    def _note(self, url: str) -> None:
        if "127.0.0.1" not in url:
            self.outside.append(url)

    @property
    def outputs(self) -> Any:
        """What cells have put out."""
        return self.page.locator(OUTPUT)

    def open(self, notebook: Path, root: Path) -> None:
        """Open a notebook and wait for its kernel."""
        self.page.goto(self.server.url(notebook, root))
        self.idle()

    def idle(self) -> None:
        """Wait until the kernel has nothing to do."""
        self.page.wait_for_function(IDLE, timeout=60_000)

    def command(self, name: str, timeout: float = 120.0) -> None:
        """Run one of JupyterLab's commands, and wait for its end."""
        self.page.set_default_timeout(timeout * 1000)
        self.page.evaluate(COMMAND, name)
        self.page.set_default_timeout(15_000)

    def run_all(self) -> None:
        """Run all cells; none may end in an error."""
        self.command("notebook:run-all-cells", timeout=300.0)
        errors = [
            "\n".join([cell["source"], *output["traceback"]])
            for cell in self.page.evaluate(CELLS)
            for output in cell.get("outputs", [])
            if output["output_type"] == "error"
        ]
        assert not errors, re.sub(r"\x1b\[[\d;]*m", "", "\n\n".join(errors))

    def shot(self, name: str, place: Any = None) -> None:
        """A picture for people: of the page at `place`."""
        SHOTS.mkdir(exist_ok=True)
        if place is not None:
            place.evaluate(SHOW)
        self.page.screenshot(path=SHOTS / f"{name}-{self.theme}.png")

    def scan(self) -> None:
        """Look at all outputs as assistive technology does (axe-core); JupyterLab's own page is not ours to judge."""
        axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
        found = axe.run(self.page, OUTPUT, {"resultTypes": ["violations", "passes"]})
        seen = {node["target"][0] for rule in found.response["passes"] for node in rule["nodes"]}
        assert seen, "axe looked at nothing"
        assert found.violations_count == 0, found.generate_report()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


OpenLab = Callable[[Path, Path], LabPage]


@pytest.fixture(params=["light", "dark"])
def open_lab(
    chromium: Any,
    cluster: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[OpenLab]:
    """Opens a notebook below a root, served as `labs notebook` serves it, with a record of progress of its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with ExitStack() as stack:

        def open_it(notebook: Path, root: Path) -> LabPage:
            server = stack.enter_context(
                jupyter.serve(
                    root,
                    cluster.kubeconfig,
                    cluster=cluster.name,
                    state=tmp_path / "state",
                    for_tests=True,
                )
            )
            if request.param == "dark":
                _choose_dark(server)
            page = chromium.new_page(viewport={"width": 1280, "height": 1000})
            stack.callback(page.close)
            opened = LabPage(page, server, request.param)
            opened.open(notebook, root)
            return opened

        yield open_it


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
