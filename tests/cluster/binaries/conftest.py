"""An HTTP server and a proxy on loopback that misbehave as asked."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest


@dataclass
class File:
    """What the server has under a path, and how it gives it."""

    body: bytes
    cut_after: int | None = None  # ends the connection after so many bytes, once
    cut_always: bool = False
    trickle: float = 0.0  # seconds between single bytes
    stall: float = 0.0  # seconds of silence before the body
    ranges: bool = True

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


@dataclass
class Site:
    """A running server: its files and the requests it saw."""

    url: str
    files: dict[str, File] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)

    def add(self, path: str, body: bytes, **how: object) -> File:
        self.files[path] = File(body, **how)  # type: ignore[arg-type]
        return self.files[path]


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_CONNECT(self) -> None:
            """As a proxy: a tunnel, to wherever the address says."""
            site.connections.append(self.path)
            host, port = self.path.rsplit(":", 1)
            with socket.create_connection((host, int(port))) as upstream:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_pump, args=(upstream, self.connection), daemon=True)
                back.start()
                _pump(self.connection, upstream)
                back.join(5)

        def do_GET(self) -> None:
            target = urlsplit(self.path)
            if target.scheme:  # as a proxy, for http
                site.connections.append(target.netloc)
            asked = self.headers.get("Range")
            site.requests.append((target.path, asked))
            file = site.files.get(target.path)
            if file is None:
                self.send_error(404)
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and file.ranges else 0
            if start and start >= len(file.body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(file.body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(file.body) - 1}/{len(file.body)}")
            self.send_header("Content-Length", str(len(file.body) - start))
            self.end_headers()
            self._give(file, file.body[start:])

        def _give(self, file: File, body: bytes) -> None:
            self.close_connection = True
            time.sleep(file.stall)
            try:
                if file.trickle:
                    for value in body:
                        self.wfile.write(bytes([value]))
                        self.wfile.flush()
                        time.sleep(file.trickle)
                elif file.cut_after is not None:
                    self.wfile.write(body[: file.cut_after])
                    file.cut_after = file.cut_after if file.cut_always else None
                else:
                    self.wfile.write(body)
            except OSError:
                pass  # the client had enough

    return Handler


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[..., Site]]:
    """Start servers that end with the test; `certificate` (key and certificate in one file) makes one https."""
    running: list[ThreadingHTTPServer] = []

    def start(certificate: Path | None = None) -> Site:
        site = Site("")
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
        server.daemon_threads = True
        server.block_on_close = False
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        # "localhost", not the address: proxies are commonly not used for the address 127.0.0.1.
        site.url = f"{'https' if certificate else 'http'}://localhost:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        running.append(server)
        return site

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _own_network_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy or certificate of the machine takes part."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


def script(version: str, *, official: bool = True, note: str = "") -> bytes:
    """A stand-in for a Kubernetes program: a shell script that states its version as the real ones do."""
    commit = "0123abc" if official else "unofficial-build"
    said = f'version.Info{{GitVersion:"v{version}", GitCommit:"{commit}"}}'
    return f"#!/bin/sh\n# {note}\necho '{said}'\n".encode()


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[..., Path]:
    """Write a stand-in: `stand_in(where, version, official=True, note="")`, `where` below the test's directory."""

    def write(where: str, version: str, **how: object) -> Path:
        file = tmp_path / where
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(script(version, **how))  # type: ignore[arg-type]
        file.chmod(0o755)
        return file

    return write
