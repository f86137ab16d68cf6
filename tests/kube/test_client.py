"""One request sent to a server of our own on loopback, which answers with what it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from kubernetes import client

from labsupport import kube


class Echo(BaseHTTPRequestHandler):
    busy = 0

    def do_POST(self) -> None:
        if self.path == "/busy" and Echo.busy > 0:
            Echo.busy -= 1
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(429)
            self.send_header("Retry-After", "1")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        answer = {
            "body": sent,
            "user": self.headers.get("Impersonate-User"),
            "accept": self.headers["Accept"],
        }
        self.send_response(404 if self.path.startswith("/missing") else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Warning", '299 - "unknown field"')
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[client.ApiClient]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield client.ApiClient(client.Configuration(host=f"http://127.0.0.1:{server.server_port}"))
        server.shutdown()
        thread.join()


def test_an_exchange_shows_headers_and_refusals(api: client.ApiClient) -> None:
    answer = kube.exchange(api, "POST", "/missing", body={"a": 1}, headers={"Impersonate-User": "eve"})
    assert answer.status == 404
    assert answer.headers["warning"] == '299 - "unknown field"'
    assert answer.body == {"body": '{"a": 1}', "user": "eve", "accept": "application/json"}


def test_bytes_are_sent_as_they_are(api: client.ApiClient) -> None:
    answer = kube.exchange(api, "POST", "/", body=b"{", headers={"Accept": "text/plain"})
    assert answer.body == {"body": "{", "user": None, "accept": "text/plain"}


def test_a_request_raises_for_refusals(api: client.ApiClient) -> None:
    with pytest.raises(kube.Refused) as refused:
        kube.request(api, "POST", "/missing", body={})
    assert refused.value.status == 404


def test_a_client_without_credentials_keeps_none() -> None:
    known = client.ApiClient(client.Configuration(host="http://127.0.0.1:1", api_key={"authorization": "x"}))
    known.configuration.cert_file = "/some/file"
    stranger = kube.client.without_credentials(known)
    assert stranger.configuration.host == "http://127.0.0.1:1"
    assert not stranger.configuration.api_key
    assert not stranger.configuration.cert_file


def test_a_server_that_asks_to_come_again_is_asked_again(api: client.ApiClient) -> None:
    Echo.busy = 2
    assert kube.request(api, "POST", "/busy", body={"a": 1})["body"] == '{"a": 1}'
    assert Echo.busy == 0
