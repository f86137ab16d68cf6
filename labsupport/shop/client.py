"""How the shop's services call one another: HTTP/1.1 over connections that are kept, or over a new one each time.

A caller needs to know more than "it failed". Was the request sent at all? Then nobody can have acted on it. Was it
sent and never answered? Then nobody knows. `NotSent` and `NoAnswer` tell the two apart.
"""

from __future__ import annotations

import http.client
import json
import select
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 5.0  # seconds


@dataclass(frozen=True)
class Call:
    """A request to another service. `key`: the receiver does what was asked once, however often the call with this
    key arrives (the header Idempotency-Key, draft-ietf-httpapi-idempotency-key-header).
    """

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    key: str = ""


@dataclass(frozen=True)
class Response:
    """An answer: its status and its JSON content."""

    status: int
    content: Mapping[str, Any] = field(default_factory=dict)


class NotSent(Exception):
    """No connection came about: nobody has seen the request."""


class NoAnswer(Exception):
    """The request was sent, and no answer came: it may have been carried out or not."""


Send = Callable[[Call, float], Response]


class Client:
    """Calls the service at `base` (http or https). `keep`: connections are kept for the next call.

    Safe for many threads: each call has a connection for itself, one that waits or a new one.
    """

    def __init__(self, base: str, *, keep: bool = True, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{base!r} is no http or https URL")
        self._host, self._tls = parts.hostname, parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._keep, self._context = keep, context
        self._lock = threading.Lock()
        self._waiting: list[http.client.HTTPConnection] = []

    def send(self, call: Call, timeout: float = TIMEOUT) -> Response:
        """Send once and return the answer, whatever its status. `timeout` in seconds, for each wait on the network.

        Errors: NotSent, NoAnswer.
        """
        connection = self._connection(timeout)
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": call.key} if call.key else {})
        body = None if call.body is None else json.dumps(call.body).encode()
        try:
            connection.request(call.method, call.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise NoAnswer(f"{call.method} {call.path}: {_words(error)}") from error
        if self._keep and not answer.will_close:
            with self._lock:
                self._waiting.append(connection)
        else:
            connection.close()
        return Response(answer.status, _object(content))

    def close(self) -> None:
        """Close the connections that wait."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for connection in waiting:
            connection.close()

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        while True:
            with self._lock:
                kept = self._waiting.pop() if self._waiting else None
            if kept is None:
                break
            if kept.sock is not None and not _ended(kept):
                kept.sock.settimeout(timeout)
                return kept
            kept.close()
        if self._tls:
            context = self._context or ssl.create_default_context()
            fresh: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout, context=context
            )
        else:
            fresh = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        try:
            fresh.connect()  # sets TCP_NODELAY
        except OSError as error:
            fresh.close()
            raise NotSent(f"{self._host}:{self._port}: {_words(error)}") from error
        return fresh


def _ended(connection: http.client.HTTPConnection) -> bool:
    """Whether the other side closed a waiting connection: the end can be read, where an answer is not due."""
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        return {"text": content.decode(errors="replace")}
    return value if isinstance(value, dict) else {"value": value}


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
