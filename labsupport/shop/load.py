"""The load generator: sends requests over so many connections and says who answered, and how fast.

As a service (`python3 -m labsupport.shop load`): POST /run with the fields of `Plan` as JSON answers with those of
`result`. From a shell: `python3 -m labsupport.shop.load URL [connections=1] [requests=100] ...` prints the same.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from labsupport.shop.server import Answer, Request, run

MOST_CONNECTIONS = 64
MOST_REQUESTS = 20_000


@dataclass(frozen=True)
class Plan:
    """What to send: `requests` in all to `url`, over `connections` at a time.

    `keep` False: a new connection for each request. `rate`: requests begun each second over all connections (0: each
    as soon as the one before it is answered); a request that starts late is measured from when it was due, so that a
    stall shows in full. `timeout` in seconds. `header`: one more header, "Name: value".
    """

    url: str
    connections: int = 1
    requests: int = 100
    keep: bool = True
    rate: float = 0.0
    timeout: float = 5.0
    header: str = ""

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Plan:
        """A plan from JSON or from words. Errors: ValueError says what is wrong."""
        kinds: dict[str, Callable[[Any], Any]] = {
            each.name: type(each.default) for each in fields(cls) if each.name != "url"
        }
        kinds["url"] = str
        if unknown := set(values) - set(kinds):
            raise ValueError(f"no such setting: {', '.join(sorted(unknown))}; there are {', '.join(kinds)}")
        given: dict[str, Any] = {
            name: value not in (False, "false", "0") if kinds[name] is bool else kinds[name](value)
            for name, value in values.items()
        }
        plan = cls(**given)
        if urlsplit(plan.url).scheme not in ("http", "https"):
            raise ValueError(f"{plan.url!r} is no http or https URL")
        if not (1 <= plan.connections <= MOST_CONNECTIONS and 1 <= plan.requests <= MOST_REQUESTS):
            raise ValueError(f"1 to {MOST_CONNECTIONS} connections and 1 to {MOST_REQUESTS} requests")
        return plan


@dataclass
class _Lane:
    """One connection at a time, and what came of its requests."""

    by_pod: Counter[str] = field(default_factory=Counter)
    by_version: Counter[str] = field(default_factory=Counter)
    failed_by_version: Counter[str] = field(default_factory=Counter)  # answered with a status of 500 or more
    by_status: Counter[str] = field(default_factory=Counter)
    last_at: dict[str, float] = field(
        default_factory=dict
    )  # by status: when its last answer came (Unix time)
    errors: Counter[str] = field(default_factory=Counter)
    latencies: list[tuple[float, float]] = field(default_factory=list)  # when it ended, milliseconds
    opened: int = 0


class _Run:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._lock = threading.Lock()
        self._next = 0
        self.began = time.monotonic()

    def due(self) -> float | None:
        """When the next request is due (monotonic seconds; now, without a rate), or None when all are given out."""
        with self._lock:
            number, self._next = self._next, self._next + 1
        if number >= self.plan.requests:
            return None
        return self.began + number / self.plan.rate if self.plan.rate > 0 else time.monotonic()

    def lane(self, lane: _Lane) -> None:
        """Send requests over one connection until there are no more."""
        connection: http.client.HTTPConnection | None = None
        while (due := self.due()) is not None:
            time.sleep(max(0.0, due - time.monotonic()))
            connection = self._one(lane, connection, due)
        if connection is not None:
            connection.close()

    def _one(
        self, lane: _Lane, connection: http.client.HTTPConnection | None, due: float
    ) -> http.client.HTTPConnection | None:
        parts = urlsplit(self.plan.url)
        name, _, value = self.plan.header.partition(":")
        headers = {name.strip(): value.strip()} if name.strip() else {}
        try:
            if connection is None:
                connection = _connection(self.plan)
                connection.connect()
                lane.opened += 1
            connection.request(
                "GET", f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}", headers=headers
            )
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            lane.errors[_kind(error)] += 1
            lane.latencies.append((time.monotonic() - self.began, (time.monotonic() - due) * 1000))
            if connection is not None:
                connection.close()
            return None
        ended = time.monotonic()
        lane.latencies.append((ended - self.began, (ended - due) * 1000))
        lane.by_status[str(answer.status)] += 1
        lane.last_at[str(answer.status)] = time.time()
        pod, version = _who(body)
        lane.by_pod[pod] += 1
        lane.by_version[version] += 1
        lane.failed_by_version[version] += answer.status >= 500
        if self.plan.keep and not answer.will_close:
            return connection
        connection.close()
        return None


def generate(plan: Plan) -> dict[str, Any]:
    """Carry out `plan` and count.

    Keys: requests, ok (status below 400), seconds, per_second, by_pod, by_version, failed_by_version (status 500 or
    more), by_status, last_at (by status: when the last such answer came, Unix time), errors (no answer, by kind),
    opened (connections), by_connection (by_pod of each lane), latency_ms (in order of the answers).
    """
    run_, lanes = _Run(plan), [_Lane() for _ in range(plan.connections)]
    threads = [threading.Thread(target=run_.lane, args=(lane,)) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - run_.began
    by_status = sum((lane.by_status for lane in lanes), Counter())
    last_at = {status: max(lane.last_at.get(status, 0.0) for lane in lanes) for status in by_status}
    return {
        "url": plan.url,
        "requests": plan.requests,
        "ok": sum(count for status, count in by_status.items() if int(status) < 400),
        "seconds": round(seconds, 4),
        "per_second": round(plan.requests / seconds, 1),
        "by_pod": dict(sorted(sum((lane.by_pod for lane in lanes), Counter()).items())),
        "by_version": dict(sorted(sum((lane.by_version for lane in lanes), Counter()).items())),
        "failed_by_version": dict(sorted(sum((lane.failed_by_version for lane in lanes), Counter()).items())),
        "by_status": dict(sorted(by_status.items())),
        "last_at": dict(sorted(last_at.items())),
        "errors": dict(sum((lane.errors for lane in lanes), Counter())),
        "opened": sum(lane.opened for lane in lanes),
        "by_connection": [dict(sorted(lane.by_pod.items())) for lane in lanes],
        "latency_ms": [round(ms, 3) for _, ms in sorted(pair for lane in lanes for pair in lane.latencies)],
    }


def _connection(plan: Plan) -> http.client.HTTPConnection:
    parts = urlsplit(plan.url)
    if parts.scheme == "https":
        # It measures; it decides nothing by what it reads. Who must know whom they talk to: client.py.
        context = ssl._create_unverified_context()
        return http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=plan.timeout, context=context
        )
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=plan.timeout)


def _who(body: bytes) -> tuple[str, str]:
    try:
        content = json.loads(body)
        return str(content["pod"]), str(content["version"])
    except (ValueError, KeyError, TypeError):
        return "unknown", "unknown"


def _kind(error: BaseException) -> str:
    return {
        TimeoutError: "timed out",
        ConnectionRefusedError: "connection refused",
        ConnectionResetError: "connection reset",
        http.client.RemoteDisconnected: "connection closed",
    }.get(type(error), getattr(error, "strerror", None) or type(error).__name__)


def answer(request: Request) -> Answer:
    """POST /run: carry out the plan in the body."""
    if (request.method, request.path) != ("POST", "/run"):
        return Answer(404, {"error": "there is POST /run"})
    return Answer(200, generate(Plan.read(request.json())))


def main() -> int:
    """Serve until SIGTERM or SIGINT; with words on the command line, run once and print."""
    if len(sys.argv) > 1 and "://" in sys.argv[1]:
        words = dict(word.split("=", 1) for word in sys.argv[2:])
        print(json.dumps(generate(Plan.read({"url": sys.argv[1], **words})), indent=1))
        return 0
    return run("load", answer)


if __name__ == "__main__":
    sys.exit(main())
