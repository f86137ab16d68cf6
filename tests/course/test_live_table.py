"""The live table, against an API server of our own that speaks Tables and watches over HTTP."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from labsupport import kube
from labsupport.course.panels import live_table, printed, widgets
from labsupport.course.panels.live_table import LiveTable
from labsupport.course.panels.printed import Printed, Row, form, told
from labsupport.errors import LabsError

COLUMNS = [
    {"name": "Name", "type": "string", "priority": 0},
    {"name": "Ready", "type": "string", "priority": 0},
    {"name": "Status", "type": "string", "priority": 0},
    {"name": "Age", "type": "string", "priority": 0},
    {"name": "IP", "type": "string", "priority": 1},
]


def row(name: str, ready: str, status: str, version: int, **metadata: Any) -> dict[str, Any]:
    about = {"name": name, "uid": f"uid-{name}", "namespace": "lab-zz", "resourceVersion": str(version)}
    return {"cells": [name, ready, status, "5s", "10.0.0.1"], "object": {"metadata": about | metadata}}


def table(*rows: dict[str, Any], version: str = "1") -> dict[str, Any]:
    return {
        "kind": "Table",
        "metadata": {"resourceVersion": version},
        "columnDefinitions": COLUMNS,
        "rows": list(rows),
    }


class Server:
    """Answers discovery, one list, and a watch whose events the test puts in."""

    def __init__(self) -> None:
        self.rows = [row("web-1", "0/1", "Pending", 5)]
        self.events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.lists = 0
        self.accepted: set[str] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self.port = self._http.server_address[1]

    def answer(self, request: Any) -> None:
        body: Any = {"resources": [{"name": "pods", "kind": "Pod", "namespaced": True}]}
        if "/pods" in request.path:
            self.accepted.add(request.headers["Accept"])
            if "watch=true" in request.path:
                self._watch(request)
                return
            self.lists += 1
            body = table(*self.rows)
        content = json.dumps(body).encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def _watch(self, request: Any) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while (event := self.events.get(timeout=live_table.WATCH)) is not None:
                request.wfile.write(json.dumps(event).encode() + b"\n")
                request.wfile.flush()
        except (queue.Empty, OSError):
            pass  # the server ends a watch after its time, as asked

    def send(self, kind: str, *rows: dict[str, Any]) -> None:
        self.events.put({"type": kind, "object": table(*rows)})

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def live(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveTable]:
    monkeypatch.setattr(widgets, "REST", 0.0)
    monkeypatch.setattr(live_table, "WATCH", 0.3)
    config = tmp_path / "kubeconfig"
    config.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.port}"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": ""}}],
                "current-context": "c",
            }
        )
    )
    made = LiveTable(kube.connect(config), kube.Target("v1", "Pod", namespace="lab-zz"))
    yield made
    made.stop()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("labs table")]


def until(place: Any, words: Callable[[str], bool]) -> None:
    """Wait until a widget's value is as wanted."""
    seen = threading.Event()

    def look(*_: Any) -> None:
        if words(place.value):
            seen.set()

    place.observe(look, "value")
    look()
    assert seen.wait(10), place.value


def test_its_text_is_the_table_as_it_is_now(live: LiveTable, server: Server) -> None:
    assert str(live).splitlines() == [
        "Pod in lab-zz: 1 object",
        "Name   Ready  Status",
        "web-1  0/1    Pending",
    ]
    server.rows = []
    assert "0 objects" in str(live)
    assert threads() == []  # a text needs nobody to watch
    assert server.accepted == {printed.TABLE}


def test_it_follows_and_says_what_changed(live: LiveTable, server: Server) -> None:
    place, changes, bar, _ = live.panel().children
    live.start()
    until(place, lambda value: "Pending" in value)
    server.send("ADDED", row("web-2", "0/1", "Pending", 6))
    server.send("MODIFIED", row("web-1", "1/1", "Running", 7))
    server.send("BOOKMARK", {"cells": [], "object": {"metadata": {"resourceVersion": "8"}}})
    server.send("MODIFIED", row("web-1", "1/1", "Running", 9, deletionTimestamp="now"))
    server.send("DELETED", row("web-1", "1/1", "Running", 10, deletionTimestamp="now"))
    until(changes, lambda value: "gone: web-1" in value)
    for line in (
        "new: web-2 (Ready 0/1, Status Pending)",
        "web-1: Ready was 0/1, is 1/1; Status was Pending, is Running",
        "web-1: is being deleted",
    ):
        assert line in changes.value
        assert line in str(live)
    assert "web-1" not in place.value
    assert "web-2" in place.value
    assert 'role="log"' in changes.value
    assert "Watching." in bar.children[1].value


def test_no_thread_is_left_after_stop(live: LiveTable) -> None:
    live.panel()
    live.start()
    live.start()
    assert len(threads()) == 1
    live.stop()
    assert threads() == []
    assert not live.running


def test_the_button_stops_and_goes_on(live: LiveTable) -> None:
    bar = live.panel().children[2]
    switch, state = bar.children
    live.start()
    switch.click()
    assert (switch.description, live.running) == ("Watch again", False)
    assert "Not watching" in state.value
    switch.click()
    assert (switch.description, live.running) == ("Stop", True)


def test_a_watch_that_is_too_old_is_begun_anew(live: LiveTable, server: Server) -> None:
    place, changes, _, _ = live.panel().children
    live.start()
    until(place, lambda value: "Pending" in value)
    server.rows = [row("web-9", "1/1", "Running", 50)]
    server.events.put({"type": "ERROR", "object": {"code": 410}})
    until(changes, lambda value: "new: web-9" in value and "gone: web-1" in value)
    assert server.lists == 2


def test_an_api_server_that_goes_away_is_told(live: LiveTable, server: Server) -> None:
    place, _, bar, _ = live.panel().children
    live.start()
    until(place, lambda value: "Pending" in value)
    server.close()
    server.events.put(None)
    until(bar.children[1], lambda value: "does not answer" in value)
    assert "Trying again" in bar.children[1].value
    live.stop()
    assert threads() == []


def test_a_fault_in_the_thread_is_shown(live: LiveTable, monkeypatch: pytest.MonkeyPatch) -> None:
    bar = live.panel().children[2]

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("x")

    monkeypatch.setattr(live_table, "form", broken)
    live.start()
    until(bar.children[1], lambda value: "ZeroDivisionError" in value)
    live.stop()


def test_running_the_cell_again_stops_the_first_table(
    live: LiveTable, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = LiveTable(live._api, kube.Target("v1", "Pod", namespace="lab-zz"))
    beside = LiveTable(live._api, kube.Target("v1", "Pod", namespace="lab-zz"))
    runs = iter([("cell", 1), ("cell", 2), ("other", 3)])
    monkeypatch.setattr(live_table, "cell_run", lambda otherwise: next(runs))
    live._repr_mimebundle_()
    assert live.running
    second._repr_mimebundle_()
    beside._repr_mimebundle_()
    try:
        assert (live.running, second.running, beside.running) == (False, True, True)
    finally:
        second.stop()
        beside.stop()


def test_a_kind_that_is_not_served(live: LiveTable) -> None:
    with pytest.raises(LabsError, match="no kind Nope"):
        LiveTable(live._api, kube.Target("v1", "Nope"))


def test_names_get_their_namespace_where_several_are_shown() -> None:
    shape = form(table(), with_namespace=True)
    assert shape.rows(table(row("a", "", "Up", 1)))["uid-a"] == Row("lab-zz/a", ("-", "Up"))


def test_only_what_somebody_changed_is_told() -> None:
    shape = form(table(), with_namespace=False)
    old = Printed(shape.names, shape.rows(table(row("a", "1/1", "Error (5s ago)", 1))))
    new = Printed(shape.names, shape.rows(table(row("a", "1/1", "Error (9s ago)", 2))))
    assert told(old, new) == []
    assert new.ordered() == [("a", "1/1", "Error")]
