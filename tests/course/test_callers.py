"""Requests from Pods: what is run there, and how the answers are told apart."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from labsupport import kube
from labsupport.course.lessons import callers
from labsupport.errors import LabsError


class Handler(BaseHTTPRequestHandler):
    """Refuses as Envoy does, or as an application does; else answers with what arrived."""

    def do_GET(self) -> None:
        words = {"/denied": b"RBAC: access denied", "/forbidden": b"the application's own no"}
        body = words.get(self.path) or f"{self.command} {self.path} {self.headers.get('x-one')}".encode()
        self.send_response(403 if self.path in words else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[callers.Answer]]:
    """`make` with commands run here instead of in Pods."""

    def here(api: Any, namespace: str, pod: str, command: list[str], timeout: float) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=timeout).stdout

    def pods(api: Any, namespace: str, labels: str) -> list[kube.objects.Object]:
        name = labels.removeprefix("app=")
        return [] if name == "nobody" else [{"metadata": {"name": name}}]

    monkeypatch.setattr(callers, "execute", here)
    monkeypatch.setattr(kube, "ready_pods", pods)
    return lambda *calls: callers.make(None, "shop", calls)  # type: ignore[arg-type]


def test_who_was_let_through(make: Callable[..., list[callers.Answer]], site: str) -> None:
    web, orders = "web", "orders"
    answers = make(
        callers.call(web, f"GET {site}/denied"),
        callers.call(orders, f"DELETE {site}/a/../b", "x-one: yes"),
        callers.call(web, f"GET {site}/forbidden"),
        callers.call(web, "GET http://127.0.0.1:1/"),
    )
    assert [(each.call.caller, each.status, each.through) for each in answers] == [
        (web, 403, False),
        (orders, 200, True),
        (web, 403, True),  # the application said no, so it has seen it
        (web, 0, False),
    ]
    assert answers[1].text == "DELETE /a/../b yes"  # as it was written, and with the header
    assert [str(each) for each in answers] == ["refused (403)", "200", "403", "no answer"]


def test_a_matrix_has_a_row_for_each_caller(
    monkeypatch: pytest.MonkeyPatch, make: Callable[..., list[callers.Answer]], site: str
) -> None:
    questions = {"yes": f"GET {site}/", "no": f"GET {site}/denied"}
    found = callers.matrix(None, "shop", ["web", "orders"], questions)  # type: ignore[arg-type]
    assert found.columns == ("Caller", "yes", "no")
    assert found.rows == [("web", "200", "refused (403)"), ("orders", "200", "refused (403)")]


def test_what_is_no_request_says_so(make: Callable[..., list[callers.Answer]]) -> None:
    for words in ("http://web/", "get http://web/", "GET web"):
        with pytest.raises(LabsError, match="is no request"):
            callers.call("web", words)
    with pytest.raises(LabsError, match="No Pod of nobody is ready"):
        make(callers.call("nobody", "GET http://web/"))


def test_the_table_has_a_column_for_words_only_where_there_are_any() -> None:
    well = callers.Answer(callers.call("web", "GET http://news/today"), 200, "{}")
    refused = callers.Answer(callers.call("intern", "GET http://news/today"), 403, "RBAC: access denied")
    assert callers.table([well]).columns == ["Caller", "Request", "Answer"]
    both = callers.table([well, refused])
    # A column without a name is none to a screen reader.
    assert all(both.columns)
    assert [row[2:] for row in both.rows] == [["200", ""], ["refused (403)", "RBAC: access denied"]]
