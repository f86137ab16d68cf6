"""Events that the runtime writes: what they say, and that they wait for an API server that is not there yet."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from labsupport.cluster.embedded import pki
from labsupport.cluster.embedded.runtime import events
from labsupport.cluster.embedded.runtime.config import Api
from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri

POD = cri.PodSandboxMetadata(namespace="team", name="web", uid="uid-1")
LOST = events.lost(POD, ("main", "sidecar"), "the monitor was restarted")


class Server:
    """An API server that takes events of those who show a certificate, and refuses the first `busy` requests."""

    def __init__(self, place: Path) -> None:
        pki.ensure(place / "pki", place / "own", pki.leaves("node-1", "127.0.0.1", "10.96.0.1"))
        self.busy = 0
        self.gone = False
        self.got: list[tuple[str, dict[str, Any]]] = []
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = 404 if told.gone else 503 if told.busy else 201
                told.busy = max(0, told.busy - 1)
                if status == 201:
                    told.got.append((self.path, body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(place / "pki/apiserver.crt", place / "pki/apiserver.key")
        context.load_verify_locations(place / "pki/ca.crt")
        context.verify_mode = ssl.CERT_REQUIRED
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.api = Api(
            f"https://127.0.0.1:{self.server.server_port}",
            *(str(place / "pki" / name) for name in ("ca.crt", "kubelet.crt", "kubelet.key")),
        )


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(events, "PAUSE", 0.01)
    made = Server(tmp_path)
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_the_event_is_about_the_pod(server: Server) -> None:
    events.tell(server.api, [LOST]).join(10)
    ((path, event),) = server.got
    assert path == "/api/v1/namespaces/team/events"
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "team",
        "name": "web",
        "uid": "uid-1",
    }
    assert (event["type"], event["reason"]) == ("Warning", "ContainersLost")
    assert event["message"] == "the monitor was restarted: main, sidecar ended"


def test_a_container_that_wants_ids_of_its_own_is_told_what_it_gets() -> None:
    event = events.one_id(POD, "main", ("runAsUser 7", "runAsGroup 8"))
    assert (event["type"], event["reason"]) == ("Warning", "OneId")
    assert event["message"].startswith("container main asks for runAsUser 7, runAsGroup 8; ")
    assert len(event["message"]) < 1024, "the API server's limit"


def test_it_waits_for_the_api_server(server: Server) -> None:
    server.busy = 3
    events.tell(server.api, [LOST, LOST]).join(10)
    assert len(server.got) == 2


def test_a_namespace_that_is_gone_is_no_reason_to_wait(server: Server) -> None:
    server.gone = True
    thread = events.tell(server.api, [LOST])
    thread.join(10)
    assert not thread.is_alive()
    assert server.got == []


def test_an_api_server_that_stays_away_is_told_in_the_log(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(events, "LIMIT", 0.0)
    nowhere = Api("https://127.0.0.1:1", "none", "none", "none")
    events.tell(nowhere, [LOST]).join(10)
    assert "cannot tell of team/web" in capfd.readouterr().err
