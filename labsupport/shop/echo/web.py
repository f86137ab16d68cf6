"""The HTTP part of the echo server, with or without TLS: any method, any path, always 200."""

from __future__ import annotations

import socket
import ssl
import subprocess
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from labsupport.shop.echo import fields

HANDSHAKE = 5.0  # seconds for a peer to get through TLS's greeting
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")


class Web(ThreadingHTTPServer):
    """A server on `port` (0: any) of all addresses; one thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("", port), _Handler)
        self._context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection, on its own thread: a slow handshake holds up no other caller."""
        try:
            if self._context is not None:
                request.settimeout(HANDSHAKE)
                request = self._context.wrap_socket(request, server_side=True)
                request.settimeout(None)
            super().finish_request(request, client_address)
        except OSError as error:
            print(f"{client_address[0]}: {error}", flush=True)
        finally:
            if isinstance(request, ssl.SSLSocket):
                self.shutdown_request(request)


class _Handler(BaseHTTPRequestHandler):
    """One connection and its requests, one after another."""

    server: Web
    protocol_version = "HTTP/1.1"
    # Head and body of an answer in one segment, and at once: else each answer on a kept connection waits 40 ms for
    # the peer's acknowledgement of the one before.
    disable_nagle_algorithm = True
    wbufsize = -1
    server_version = "echo"
    sys_version = ""

    def _answer(self) -> None:
        if not self._skip_body():
            self.close_connection = True
            self.send_error(400, "the body has no length")
            return
        body = fields.as_text(
            fields.received(
                port=self.server.server_port,
                protocol=self.request_version,
                address=str(self.client_address[0]),
                headers=self.headers.items(),
                Host=self.headers.get("Host", ""),
                Method=self.command,
                URL=self.path,
            )
        ).encode()
        self.send_response_only(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _skip_body(self) -> bool:
        """Read the body, which nobody wants: the connection's next request begins after it. False: it has no end."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._skip_chunks()
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit():
            return False
        return self._skip(int(length))

    def _skip_chunks(self) -> bool:
        """RFC 9112, 7.1: each chunk after its length in hexadecimal digits, then perhaps headers, then nothing."""
        while True:
            try:
                length = int(self.rfile.readline(1024).partition(b";")[0], 16)
            except ValueError:
                return False
            if length == 0:
                while self.rfile.readline(65537).strip():
                    pass
                return True
            if not self._skip(length + 2):  # and the end of its line
                return False

    def _skip(self, length: int) -> bool:
        while length > 0:
            block = self.rfile.read(min(length, 1 << 16))
            if not block:
                return False
            length -= len(block)
        return True

    def log_message(self, *args: Any) -> None:
        """Say nothing: the caller is told everything."""


for _method in METHODS:
    setattr(_Handler, f"do_{_method}", _Handler._answer)


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """The server's side of TLS. Where the two files (PEM) are not there, a certificate for this Pod is made.

    Errors: OSError for files that cannot be used, CalledProcessError with what openssl said.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate.exists() and key.exists():
        context.load_cert_chain(certificate, key)
        return context
    with tempfile.TemporaryDirectory() as directory:
        certificate, key = Path(directory, "crt"), Path(directory, "key")
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                *("-nodes", "-days", "3650", "-subj", "/CN=echo"),
                *("-addext", f"subjectAltName=DNS:echo,DNS:{socket.gethostname()}"),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
        context.load_cert_chain(certificate, key)
    return context
