"""The topology in a notebook, without a browser: it follows, it says what is wrong, it has a text and a table."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labsupport.course.panels import topology_panel
from labsupport.course.panels.topology_panel import TopologyPanel
from labsupport.draw.topology import words
from labsupport.draw.topology.data import Topology
from labsupport.errors import LabsError
from tests.draw import topologies


class Mesh:
    """A control plane's place."""

    def __init__(self) -> None:
        self.said: Topology | LabsError = topologies.recorded()

    def __call__(self) -> Topology:
        if isinstance(self.said, LabsError):
            raise self.said
        return self.said


@pytest.fixture
def mesh(monkeypatch: pytest.MonkeyPatch) -> Mesh:
    monkeypatch.setattr(topology_panel, "EVERY", 0.01)
    return Mesh()


@pytest.fixture
def panel(mesh: Mesh) -> Iterator[TopologyPanel]:
    made = TopologyPanel(mesh)
    yield made
    made.stop()


def until(place: Any, words_: Callable[[str], bool]) -> None:
    seen = threading.Event()
    place.observe(lambda *_: words_(place.value) and seen.set(), "value")
    assert words_(place.value) or seen.wait(10), place.value


def test_its_text_is_the_topology_as_it_is_now(panel: TopologyPanel, mesh: Mesh) -> None:
    assert str(panel) == words.text(topologies.recorded())
    mesh.said = Topology()
    assert "0 nodes" in repr(panel)
    mesh.said = LabsError("No control plane is ready.")
    assert str(panel).endswith("No control plane is ready.")


def test_it_follows_until_it_is_stopped(panel: TopologyPanel, mesh: Mesh) -> None:
    picture, bar, table = panel.panel().children
    switch, state = bar.children
    assert "<svg" in picture.value
    assert "Not watching" in state.value
    panel.start()
    until(state, lambda value: "Watching." in value)
    mesh.said = topologies.made(30)
    until(picture, lambda value: "30 nodes" in value)
    until(table, lambda value: "payments/feed" in value)
    mesh.said = LabsError("No control plane is ready.")
    until(state, lambda value: "No control plane is ready. Trying again." in value)
    assert "30 nodes" in picture.value
    mesh.said = topologies.recorded()
    until(state, lambda value: "Watching." in value)
    switch.click()
    assert (switch.description, panel.running) == ("Watch again", False)
    panel.stop()
    assert not [each for each in threading.enumerate() if each.name == "labs topology"]


def test_what_is_read_out_is_said_once(panel: TopologyPanel, mesh: Mesh) -> None:
    picture, bar, _ = panel.panel().children
    changes: list[Any] = []
    panel.start()
    for count in (2, 3, 4, 6):
        mesh.said = topologies.made(count)
        if count == 3:  # by now it is told that it watches
            bar.children[1].observe(changes.append, "value")
        until(picture, lambda value, count=count: f"{count} nodes" in value)  # type: ignore[misc]
    assert changes == []


def test_only_what_one_looks_for(mesh: Mesh) -> None:
    found = TopologyPanel(mesh, find="ledger")
    assert {edge.target for edge in found.now.edges} == {"shop/ledger"}
    html = found._repr_html_()
    assert "The same as a table" in html
    assert "shop/gateway" not in html


def test_a_mesh_without_control_plane_is_told_at_once() -> None:
    def away() -> Topology:
        raise LabsError("No control plane of the mesh is ready on this cluster.")

    with pytest.raises(LabsError, match="No control plane"):
        TopologyPanel(away)


def test_running_the_cell_again_stops_the_first(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = TopologyPanel(mesh), TopologyPanel(mesh)
    runs = iter([("cell", 1), ("cell", 2)])
    monkeypatch.setattr(topology_panel, "cell_run", lambda otherwise: next(runs))
    first._repr_mimebundle_()
    assert first.running
    forms = second._repr_mimebundle_()
    try:
        assert (first.running, second.running) == (False, True)
        assert forms["text/plain"].startswith("Over the last 60 s")
        assert "<svg" in forms["text/html"]
    finally:
        second.stop()
