"""A client of a Quorum: finds the leader, tries again while one is elected, and has each write done once.

A write that fails with `Unavailable` may have been done or not; the next write of this client is independent of it.
"""

from __future__ import annotations

import base64
import secrets
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import HTTPAdapter

PAUSE = 0.05  # seconds before another member is asked
TIMEOUT = 10.0  # seconds for a call as a whole
# Seconds to connect, and for one answer. A member waits longer for a majority, but another may have become the leader:
# whoever is cut off cannot say so. To send a write again is harmless, it is done once.
CONNECT, ATTEMPT = 1.0, 2.0


class QuorumError(Exception):
    """An answer that is no: `status` is HTTP's."""

    def __init__(self, status: int, body: Any) -> None:
        told = body if isinstance(body, dict) else {"error": str(body)}
        super().__init__(f"{told.get('error')} ({status}). Next: {told.get('fix')}")
        self.status, self.body = status, told


class Missing(QuorumError):
    """There is no such key."""


class Conflict(QuorumError):
    """Another write came first; `body["revision"]` is the key's now."""


class Unavailable(QuorumError):
    """No member could do it in time."""


@dataclass(frozen=True)
class Read:
    """A value and its revision."""

    value: bytes
    revision: int


@dataclass(frozen=True)
class Signed:
    """An Ed25519 signature (RFC 8032), and who made it."""

    signature: bytes
    public_key: bytes
    signers: tuple[str, ...]


class Client:
    """Talks to members at `urls` (https://HOST:PORT); one thread at a time."""

    def __init__(
        self, urls: Sequence[str], token: str, authority: str | None = None, timeout: float = TIMEOUT
    ) -> None:
        """`authority`: file with the Quorum's CA certificate."""
        self.name = secrets.token_hex(8)
        self.timeout = timeout
        self._urls = list(urls)
        self._at = 0
        self._sequence = 0
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy has no business between a client and its store
        self._http.headers["Authorization"] = f"Bearer {token}"
        if authority is not None:
            self._http.mount("https://", _Trusting(authority))

    def get(self, key: str, *, stale: bool = False) -> Read:
        """The value: not older than this call, unless `stale`. Raises Missing, Unavailable."""
        body = self._call("GET", f"/v1/kv/{quote(key, safe='')}" + ("?stale=true" if stale else ""))
        return Read(base64.b64decode(body["value"]), int(body["revision"]))

    def put(self, key: str, value: bytes) -> int:
        """Write; the key's new revision. Raises Unavailable, QuorumError."""
        return self._write("PUT", key, "", {"value": base64.b64encode(value).decode()})

    def compare_and_set(self, key: str, value: bytes, expected_revision: int | None) -> int:
        """Write if the key has that revision (None: if it does not exist). Raises Conflict, Unavailable."""
        body = {"value": base64.b64encode(value).decode(), "expected_revision": expected_revision}
        return self._write("POST", key, "/cas", body)

    def delete(self, key: str) -> None:
        """Remove a key. Raises Unavailable."""
        self._write("DELETE", key, "", None)

    def sign(self, message: bytes, request: str = "") -> Signed:
        """Have the members sign; `request` names it (the same name again is the same request)."""
        body = {"message": base64.b64encode(message).decode(), "request": request}
        told = self._call("POST", "/v1/sign", body)
        signature, public = base64.b64decode(told["signature"]), bytes.fromhex(told["public_key"])
        return Signed(signature, public, tuple(told["signers"]))

    def status(self, url: str = "") -> dict[str, Any]:
        """What one member says of itself; of the one asked last if no URL is given."""
        answer = self._http.get(f"{url or self._urls[self._at]}/v1/status", timeout=(CONNECT, ATTEMPT))
        if answer.status_code != 200:
            raise QuorumError(answer.status_code, _json(answer))
        told: dict[str, Any] = answer.json()
        return told

    def turn(self) -> None:
        """Ask another member first from here on."""
        self._at = (self._at + 1) % len(self._urls)

    def snapshot(self) -> tuple[bytes, str]:
        """A back-up's bytes and their SHA-256 as the member gave it; needs the admin's token. Raises Unavailable."""
        answer = self._answer("GET", "/v1/admin/snapshot")
        if answer.status_code != 200:
            raise QuorumError(answer.status_code, _json(answer))
        return answer.content, answer.headers["X-Sha256"]

    def restore(self, backup: str, snapshot: str) -> None:
        """Have an empty store take over a back-up (base64); needs the admin's token. Raises QuorumError."""
        self._call("POST", "/v1/admin/restore", {"backup": backup, "snapshot": snapshot})

    def _write(self, method: str, key: str, tail: str, body: Any) -> int:
        self._sequence += 1
        headers = {"X-Client": self.name, "X-Sequence": str(self._sequence)}
        return int(self._call(method, f"/v1/kv/{quote(key, safe='')}{tail}", body, headers)["revision"])

    def _call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        return self._result(self._answer(method, path, body, headers))

    def _answer(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> requests.Response:
        """The leader's answer, whatever it is."""
        deadline = time.monotonic() + self.timeout
        last: Any = "no member answered"
        while (left := deadline - time.monotonic()) > 0:
            try:
                answer = self._http.request(
                    method,
                    self._urls[self._at] + path,
                    json=body,
                    headers=headers,
                    timeout=(min(CONNECT, left), min(ATTEMPT, left)),
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                last = f"{type(error).__name__} from {self._urls[self._at]}"
                self._next()
                continue
            if answer.status_code == 307:
                self._follow(answer.headers["Location"])
                continue
            if answer.status_code == 503:
                last = _json(answer)
                self._next()
                continue
            return answer
        raise Unavailable(503, last)

    @staticmethod
    def _result(answer: requests.Response) -> Any:
        body = _json(answer)
        if answer.status_code < 300:
            return body
        kind = {404: Missing, 412: Conflict}.get(answer.status_code, QuorumError)
        raise kind(answer.status_code, body)

    def _follow(self, location: str) -> None:
        """Ask the leader that a member named; one that we have no URL for becomes one more."""
        parts = urlsplit(location)
        url = f"{parts.scheme}://{parts.netloc}"
        if url not in self._urls:
            self._urls.append(url)
        if self._urls[self._at] == url:
            time.sleep(PAUSE)  # it names itself: it does not know yet
        self._at = self._urls.index(url)

    def _next(self) -> None:
        self.turn()
        time.sleep(PAUSE)


class _Trusting(HTTPAdapter):
    """Trusts one authority alone."""

    def __init__(self, authority: str) -> None:
        self._context = ssl.create_default_context(cafile=authority)
        super().__init__()

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        """Hand the context to urllib3."""
        super().init_poolmanager(*args, ssl_context=self._context, **more)


def _json(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return answer.text[:200]
