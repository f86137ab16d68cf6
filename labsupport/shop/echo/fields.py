"""The form of what server and client say: one `Name=value` in a line.

Readers look for the first `Name=` anywhere in a text and take the rest of that line (utils/echo/parse.go of the Go
module sigs.k8s.io/gateway-api/conformance). So what a caller can choose, such as a header's value, comes last.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

Headers = Iterable[tuple[str, str]]
HOSTNAME = socket.gethostname()  # the Pod's name, as Kubernetes sets it


def received(*, port: int, protocol: str, address: str, headers: Headers = (), **more: str) -> list[str]:
    """What a server says of a request: at which `port` and from which `address` it came, by which `protocol`.

    `more`: further fields with their names. A header that came twice has two lines, in the order in which they came:
    readers join them.
    """
    return [
        "ServiceVersion=",
        f"ServicePort={port}",
        f"Hostname={HOSTNAME}",
        f"Proto={protocol}",
        f"IP={address}",
        *(f"{name}={value}" for name, value in more.items()),
        *(f"RequestHeader={name}:{value}" for name, value in headers),
    ]


def as_text(lines: Iterable[str]) -> str:
    """Lines as one text. A value cannot begin a line of its own: HTTP and gRPC let none into a header."""
    return "".join(f"{line}\n" for line in lines)


def answered(number: int, url: str, status: int, headers: Headers, body: str) -> str:
    """What the client says of the answer to its request `number` (from 0), ended by an empty line.

    Readers take an empty line for the end of an answer, so the body's own are left out; and what the server says of
    itself must come before anything that a caller or a proxy has put into a header.
    """
    lines = [
        f"[{number}] StatusCode={status}",
        *(f"[{number} body] {line}" for line in body.splitlines() if line),
        *(f"[{number}] ResponseHeader={name}:{value}" for name, value in headers),
        f"[{number}] Url={url}",
    ]
    return as_text(lines) + "\n"
