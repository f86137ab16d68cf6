"""The topology's page in a real browser: what it shows, how it is worked by keyboard, that it stays calm.

No cluster: the page is served as `labs mesh topology` serves it, on recorded and made topologies. Pictures of it are
left in test-results/ for people to look at.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labsupport.mesh import page as served
from labsupport.mesh.admin.forward import Forward
from tests.browser.conftest import SHOTS
from tests.draw import topologies

pytestmark = pytest.mark.browser

SAID = {
    5: lambda: json.loads(topologies.RECORDED.read_text(encoding="utf-8")),
    30: lambda: topologies.said(30),
    100: lambda: topologies.said(100),
}
SCANNED = {
    (5, 360),
    (5, 1400),
    (30, 900),
}  # axe takes long where there is much, and there are no other elements in it


class Mesh:
    """A control plane's place: what it says can be changed, and it can be away."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = SAID[5]()
        self.asked: list[str] = []
        self.away = False

    def fetch(self, path: str) -> bytes:
        self.asked.append(path)
        if self.away:
            raise served_error()
        found = served.answer(path, lambda seconds: self.said)
        assert found is not None
        return found


def served_error() -> Exception:
    from labsupport.errors import LabsError

    return LabsError("No control plane of the mesh is ready on this cluster.")


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


@pytest.fixture
def forward(mesh: Mesh) -> Iterator[Forward]:
    made = Forward(mesh.fetch)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


Open = Callable[..., Any]


@pytest.fixture
def open_page(chromium: Any, forward: Forward) -> Iterator[Open]:
    """Opens the page; what is fetched from elsewhere, and errors of its script, fail the test."""
    pages, wrong = [], []

    def open_it(width: int = 1400, scheme: str = "light", **more: Any) -> Any:
        page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, **more)
        pages.append(page)
        page.set_default_timeout(10_000)
        page.on(
            "request",
            lambda sent: (
                wrong.append(sent.url) if "127.0.0.1" not in sent.url and "data:" not in sent.url else None
            ),
        )
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(forward.url)
        page.locator("#edges table").wait_for()
        return page

    yield open_it
    for page in pages:
        page.close()
    assert wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 900, 1400])
@pytest.mark.parametrize("count", [5, 30, 100])
def test_everybody_can_read_it(open_page: Open, mesh: Mesh, count: int, width: int, scheme: str) -> None:
    mesh.said = SAID[count]()
    page = open_page(width, scheme)
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"topology-{count}-{width}-{scheme}.png", full_page=True)
    assert page.locator(".node").count() == count
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    if (count, width) in SCANNED:
        scan(page)


def scan(page: Any) -> None:
    """As assistive technology sees it (axe-core), contrast too."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, None, {"resultTypes": ["violations", "passes"]})
    assert any(rule["id"] == "color-contrast" and rule["nodes"] for rule in found.response["passes"])
    assert found.violations_count == 0, found.generate_report()


def focus(page: Any) -> str:
    return str(
        page.evaluate(
            "document.activeElement.dataset.k || document.activeElement.id || document.activeElement.tagName"
        )
    )


def test_one_works_it_by_keyboard(open_page: Open) -> None:
    page = open_page()
    page.locator("#pause").focus()
    page.keyboard.press("Tab")
    assert focus(page) == "outside"  # the first box; the whole picture is one stop
    page.keyboard.press("ArrowLeft")
    assert focus(page) == "shop/web>outside"
    page.keyboard.press("ArrowDown")
    assert focus(page) == "shop/web>shop/inventory"
    page.keyboard.press("ArrowLeft")
    assert focus(page) == "shop/web"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert focus(page) == "outside"
    page.keyboard.press("ArrowDown")
    assert focus(page) == "shop/inventory"
    assert outlined(page)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="shop/inventory").wait_for()
    assert focus(page) == "shop/inventory"
    assert page.locator('[aria-pressed="true"]').get_attribute("data-k") == "shop/inventory"
    assert page.locator("#edges tr.near").count() == 2
    assert "3.5 % errors" in page.locator("#details").inner_text()
    page.screenshot(path=SHOTS / "topology-chosen.png")
    page.keyboard.press("Escape")
    page.get_by_role("heading", name="shop/inventory").wait_for(state="detached")
    page.keyboard.press("Tab")
    assert focus(page) == "edges"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator('th[aria-sort="descending"]', has_text="Rate").wait_for()


def outlined(page: Any) -> bool:
    """Whether the focus can be seen: a wide outline in a colour of enough contrast."""
    return bool(
        page.evaluate(
            """() => {
              const box = document.activeElement.querySelectorAll(".box")[1], style = getComputedStyle(box);
              return parseFloat(style.strokeWidth) >= 3 && style.stroke !== "none";
            }"""
        )
    )


REMEMBER = """() => {
  window.added = 0;
  for (const each of document.querySelectorAll("#view .node, #view .edge, #edges tr")) each.before_ = true;
  new MutationObserver(all => all.forEach(each => window.added += each.addedNodes.length + each.removedNodes.length))
    .observe(document.getElementById("view"), { childList: true, subtree: true });
  window.spoken = 0;
  new MutationObserver(() => window.spoken++).observe(document.getElementById("status"),
    { childList: true, characterData: true, subtree: true });
}"""


def test_it_follows_without_flicker_and_without_chatter(open_page: Open, mesh: Mesh) -> None:
    page = open_page()
    page.locator('.node[data-id="shop/web"]').focus()
    page.evaluate(REMEMBER)
    mesh.said["edges"][1] |= {"rate": 31.0, "errors": 84, "error_share": 0.07}
    page.locator("#edges td", has_text="7 % (84)").wait_for()
    edge = page.locator('.edge[data-k="shop/web>shop/inventory"]')
    assert "7 % errors" in edge.get_attribute("aria-label")
    assert page.evaluate("window.added") == 0, "elements were made anew where only numbers changed"
    assert page.evaluate("window.spoken") == 0, "numbers were read out"
    assert focus(page) == "shop/web"

    # One more calls: what was there stays the same element, and the focus stays.
    mesh.said["nodes"].append({"id": "shop/adm", "namespace": "shop", "account": "adm", "kind": "workload"})
    mesh.said["edges"].append({**mesh.said["edges"][0], "from": "shop/adm"})
    page.locator('.node[data-id="shop/adm"]').wait_for()
    assert page.locator(".node").evaluate_all("all => all.filter(each => each.before_).length") == 5
    assert page.locator("#edges tbody tr").evaluate_all("all => all.filter(each => each.before_).length") == 5
    assert focus(page) == "shop/web"

    # And goes.
    mesh.said["nodes"].pop()
    mesh.said["edges"].pop()
    page.locator('.node[data-id="shop/adm"]').wait_for(state="detached")
    assert page.evaluate("window.spoken") == 0


def test_one_can_pause_and_find(open_page: Open, mesh: Mesh) -> None:
    page = open_page()
    page.get_by_label("only trouble").check()
    page.locator("#summary", has_text="2 edges").wait_for()
    page.locator("#status", has_text="2 edges").wait_for()  # what the reader did is read out
    page.get_by_label("only trouble").uncheck()
    page.get_by_label("Find").fill("ledger")
    page.locator("#summary", has_text="3 nodes, 2 edges").wait_for()
    page.get_by_label("Find").fill("")
    page.get_by_label("by namespace").check()
    page.locator("#summary", has_text="2 nodes").wait_for()
    page.get_by_label("by namespace").uncheck()
    page.locator("#summary", has_text="5 nodes").wait_for()
    page.get_by_role("button", name="Pause").click()
    page.locator("#status", has_text="Paused").wait_for()
    count = len(mesh.asked)
    page.wait_for_timeout(2_500)
    assert len(mesh.asked) == count
    page.get_by_role("button", name="Pause").click()
    page.locator("#status", has_text="follows again").wait_for()
    assert len(mesh.asked) > count


def test_a_control_plane_that_is_away_is_told_once(open_page: Open, mesh: Mesh) -> None:
    page = open_page()
    mesh.away = True
    page.locator("#status", has_text="does not answer").wait_for()
    assert page.locator(".node").count() == 5
    mesh.away = False
    page.locator("#status", has_text="answers again").wait_for()


def test_without_the_token_it_shows_nothing(chromium: Any, forward: Forward) -> None:
    page = chromium.new_page()
    page.goto(f"http://127.0.0.1:{forward.server_port}/")
    page.locator("#status", has_text="needs its token").wait_for()
    assert page.locator(".node").count() == 0
    page.close()


def test_the_token_is_not_left_in_the_address(open_page: Open) -> None:
    page = open_page()
    assert "token" not in page.url
    page.reload()
    page.locator(".node").first.wait_for()


def test_less_motion_for_those_who_asked_for_it(open_page: Open) -> None:
    moving = "getComputedStyle(document.querySelector('.node')).transitionDuration"
    assert open_page().evaluate(moving) != "0s"
    assert open_page(reduced_motion="reduce").evaluate(moving) == "0s"
