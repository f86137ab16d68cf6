"""One HTTP/1.1 request on a socket, and its answer: as much as the helper needs (RFC 9112), at a tenth of the memory of
http.client.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

LIMIT = 1024 * 1024  # bytes of an answer; more is no answer to what is asked here


class BadAnswer(OSError):
    """What came back is no HTTP, or too much of it."""


@dataclass(frozen=True)
class Answer:
    """An answer; names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def connect(address: tuple[str, int], timeout: float, mark: int | None = None) -> socket.socket:
    """A TCP connection with an optional SO_MARK, set before the first packet leaves. Errors: OSError."""
    error: OSError | None = None
    for family, kind, protocol, _, place in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
        opened = socket.socket(family, kind, protocol)
        try:
            opened.settimeout(timeout)
            if mark is not None:
                _mark(opened, mark)
            opened.connect(place)
            return opened
        except OSError as failed:
            opened.close()
            error = failed
    raise error or OSError(f"{address[0]} has no address")


def _mark(opened: socket.socket, mark: int) -> None:
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    except PermissionError as error:
        needed = "CAP_NET_RAW, and before Linux 5.17 CAP_NET_ADMIN"
        raise PermissionError(error.errno, f"may not mark its connections: that needs {needed}") from error


def exchange(
    connection: socket.socket,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    *,
    read_body: bool = True,
) -> Answer:
    """Send one request and read its answer, the last on this connection. The socket's timeout is for each step.

    `headers` include Host. Errors: OSError (BadAnswer where what comes is no HTTP).
    """
    fields = {**headers, "Connection": "close"}
    if body or method == "POST":
        fields["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    connection.sendall(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogateescape") + body)
    got = b""
    while b"\r\n\r\n" not in got:
        got = _more(connection, got)
    head, _, rest = got.partition(b"\r\n\r\n")
    first, *others = head.decode("latin-1").split("\r\n")
    version, _, status = first.partition(" ")
    if not version.startswith("HTTP/1.") or not status[:3].isdigit():
        raise BadAnswer(f"no HTTP: {first[:60]!r}")
    found = {}
    for line in others:
        name, _, value = line.partition(":")
        found[name.strip().lower()] = value.strip()
    if not read_body:
        return Answer(int(status[:3]), found)
    if "content-length" in found:
        while len(rest) < int(found["content-length"]):
            rest = _more(connection, rest)
    else:
        while part := connection.recv(65536):
            rest += part
            if len(rest) > LIMIT:
                raise BadAnswer("the answer is too long")
    return Answer(int(status[:3]), found, rest)


def _more(connection: socket.socket, got: bytes) -> bytes:
    part = connection.recv(65536)
    if not part:
        raise BadAnswer(
            "the connection was closed before the answer's end" if got else "no answer: hung up at once"
        )
    if len(got) > LIMIT:
        raise BadAnswer("the answer is too long")
    return got + part
