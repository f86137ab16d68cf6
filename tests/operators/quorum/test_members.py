"""Members over TLS: who answers is known by its certificate; what they refuse, and what may be asked again."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from labsupport.operators.quorum_operator import certificates, names
from labsupport.operators.quorum_operator.certificates import Asker
from labsupport.operators.quorum_operator.members import Members
from labsupport.operators.quorum_operator.observe import Later, Refused
from labsupport.operators.quorum_operator.observed import Pod, Quorum, Spec

AUTHORITY = certificates.new_authority("test", datetime.now(UTC), b"")
QUORUM = Quorum("lab", "q", "uid", 1, Spec(3, "1.0", 2))
SAID = {
    "name": "q-0",
    "id": "a1",
    "identity": "ff",
    "release": "1.1",
    "protocols": [1, 2],
    "protocol": None,
    "phase": "waiting",
    "role": None,
    "term": 0,
    "leader": None,
    "voters": [],
    "learners": [],
    "key": {"state": "none", "running": None},
    "disk": {"full": False},
    "problems": [],
}


class Server:
    """A member's API on loopback; `answers` by path."""

    def __init__(self, directory: Path, member: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        asker = Asker("lab", "q", member, "u", "127.0.0.1")
        chain = certificates.sign(AUTHORITY, key.public_key(), asker, 3600, datetime.now(UTC))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (directory / "pair").write_bytes(private + chain.encode())
        self.answers: dict[str, tuple[int, Any]] = {"/v1/status": (200, SAID)}
        self.asked: list[tuple[str, str, bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append((self.path, self.headers["Authorization"], content))
                status, said = outer.answers[self.path]
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "pair")
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server(tmp_path, "q-0")
    monkeypatch.setattr(names, "HTTP", made.http.server_port)
    yield made
    made.http.shutdown()
    made.http.server_close()


def pod(name: str = "q-0", uid: str = "u") -> Pod:
    return Pod(name, uid, "1.0", ip="127.0.0.1")


def members(authority: str = AUTHORITY.certificate) -> Members:
    return Members(authority, lambda quorum: "secret")


def test_what_a_member_says_is_read_and_it_is_asked_with_the_token(server: Server) -> None:
    asking = members()
    for _ in range(2):  # the second time on the same connection
        (found,) = asking.status(QUORUM, [pod()]).values()
        assert (found.id, found.protocols, found.protocol, found.phase) == ("a1", (1, 2), 1, "waiting")
    assert {token for _, token, _ in server.asked} == {"Bearer secret"}


def test_who_has_another_members_certificate_counts_as_silent_and_learns_no_token(server: Server) -> None:
    assert members().status(QUORUM, [pod("q-1")]) == {}
    assert server.asked == []


def test_a_certificate_of_another_authority_counts_for_nothing(server: Server) -> None:
    other = certificates.new_authority("other", datetime.now(UTC), b"")
    assert members(other.certificate).status(QUORUM, [pod()]) == {}
    assert server.asked == []


def test_a_member_that_refuses_the_token_is_not_taken_for_a_new_one(server: Server) -> None:
    server.answers["/v1/status"] = (401, {"error": "wrong token"})
    (found,) = members().status(QUORUM, [pod()]).values()
    assert found.id == ""
    assert "Secret q-tokens is not the operator's" in found.problems[0]


def test_an_answer_that_is_none_counts_as_silence(server: Server) -> None:
    for said in ({}, [], {**SAID, "protocols": "x"}):
        server.answers["/v1/status"] = (200, said)
        assert members().status(QUORUM, [pod()]) == {}


@pytest.mark.parametrize(
    ("status", "error"), [(409, Later), (503, Later), (307, Later), (400, Refused), (403, Refused)]
)
def test_what_may_be_asked_again_and_what_not(server: Server, status: int, error: type[Exception]) -> None:
    server.answers["/v1/admin/key"] = (status, {"error": "no"})
    with pytest.raises(error, match=f"q-0: {status} no"):
        members().ask(QUORUM, pod(), "/v1/admin/key", {"x": 1})
    assert server.asked[-1][2] == b'{"x": 1}'


def test_a_member_that_is_away_is_asked_later(server: Server) -> None:
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(Later, match="q-0 does not answer"):
        members().ask(QUORUM, pod(), "/v1/admin/key", {})
