"""The members' HTTP API over TLS: who answers is known by its certificate, who asks by the administrator's token."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from labsupport.operators.quorum_operator import names, parse
from labsupport.operators.quorum_operator.objects import tokens_name
from labsupport.operators.quorum_operator.observe import Later, Refused
from labsupport.operators.quorum_operator.observed import Member, Pod, Quorum
from labsupport.quorum.wire import tls

TIMEOUT = 3.0  # seconds for one answer about a member; one that takes longer counts as silent
PATIENCE = 8.0  # seconds for what a member has to agree on with the others first
LATER = frozenset({307, 409, 425, 429, 503})  # who leads has changed, something is under way, no leader now
Token = Callable[[Quorum], str]


class Members:
    """`observe.Members` over HTTPS. Connections are kept; several threads may use it."""

    def __init__(
        self,
        authority: str,
        token: Token,
        *,
        workers: int = 8,
        written: Callable[[str], None] = lambda what: None,
    ) -> None:
        """`authority`: the certificate that members' certificates are checked by, PEM; `token`: of the admin.

        `written` hears of each request that a member has done.
        """
        self._written = written
        self._context = ssl.create_default_context(cadata=authority)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.check_hostname = False  # a Pod's address says nothing; the URI in the certificate does
        self._token = token
        self._pool = ThreadPoolExecutor(workers, "members")
        self._lock = threading.Lock()
        self._open: dict[str, http.client.HTTPSConnection] = {}  # by the Pod's uid, while nobody uses them

    def status(self, quorum: Quorum, pods: Iterable[Pod]) -> dict[str, Member]:
        """See `observe.Members`. Whoever does not answer, or not as a member does, is left out."""
        asked = {pod.name: self._pool.submit(self._status, quorum, pod) for pod in pods}
        found = {name: future.result() for name, future in asked.items()}
        return {name: member for name, member in found.items() if member is not None}

    def _status(self, quorum: Quorum, pod: Pod) -> Member | None:
        try:
            status, said = self._exchange(quorum, pod, "GET", "/v1/status", None, TIMEOUT)
            if status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
                return _stranger(quorum, pod)
            return parse.member(said) if status == http.HTTPStatus.OK else None
        except (Later, AttributeError, KeyError, TypeError, ValueError):
            return None

    def ask(self, quorum: Quorum, pod: Pod, path: str, body: Mapping[str, Any]) -> None:
        """See `observe.Members`."""
        status, said = self._exchange(quorum, pod, "POST", path, body, PATIENCE)
        if status < http.HTTPStatus.MULTIPLE_CHOICES:
            self._written(f"{pod.name} {path}")
            return
        words = said if isinstance(said, Mapping) else {}
        told = f"{pod.name}: {status} {words.get('error') or words.get('leader') or ''}".strip()
        raise Later(told) if status in LATER else Refused(told)

    def _exchange(
        self, quorum: Quorum, pod: Pod, method: str, path: str, body: Mapping[str, Any] | None, timeout: float
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self._token(quorum)}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        connection = self._take(quorum, pod, timeout)
        try:
            if connection.sock:
                connection.sock.settimeout(timeout)
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Later(f"{pod.name} does not answer: {error!r}") from error
        if answer.will_close:
            connection.close()
        else:
            with self._lock:
                if other := self._open.pop(pod.uid, None):
                    other.close()
                self._open[pod.uid] = connection
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, None

    def _take(self, quorum: Quorum, pod: Pod, timeout: float) -> http.client.HTTPSConnection:
        with self._lock:
            kept = self._open.pop(pod.uid, None)
        if kept is not None:
            return kept
        connection = http.client.HTTPSConnection(pod.ip, names.HTTP, timeout=timeout, context=self._context)
        try:
            connection.connect()
            self._check(connection, tls.identity(quorum.namespace, quorum.name, pod.name))
        except (OSError, ssl.SSLError) as error:
            connection.close()
            raise Later(f"{pod.name} does not answer: {error}") from error
        return connection

    def _check(self, connection: http.client.HTTPSConnection, expected: str) -> None:
        """Errors: ssl.SSLError where another than the member answers at its address."""
        shown: Any = connection.sock.getpeercert() or {}
        said = [value for kind, value in shown.get("subjectAltName", ()) if kind == "URI"]
        if said != [expected]:
            raise ssl.SSLError(f"who answers is {said or 'nobody'}, not {expected}")


def _stranger(quorum: Quorum, pod: Pod) -> Member:
    """A member that takes the operator for somebody else. Nothing is known of it but this, not even its id."""
    secret = f"Secret {tokens_name(quorum.name)}"
    why = f"it refuses the operator's token: {secret} is not the operator's; delete it, then its Pod"
    return Member(pod.name, "", "", phase="stopped", role="", problems=(why,))
