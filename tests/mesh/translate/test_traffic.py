"""What TrafficPolicies do: as they are translated, in a real Envoy, judged by what came to the applications.

Where chance decides, the bounds are those that a right proxy leaves once in a million times (`ERROR`), from the
binomial distribution itself; what would be seen with another policy is far outside.
"""

from __future__ import annotations

import math
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.mesh import samples
from tests.mesh.conftest import wait
from tests.mesh.samples import Object
from tests.mesh.translate.conftest import Answer, Routed

ERROR = 1e-6
GATEWAY = {"attempts": 2, "when": ["GatewayError"], "backoff": {"base": "1ms", "max": "1ms"}}
ROUND = {"loadBalancing": {"policy": "RoundRobin"}}
# Service -> how many Pods, and its policy.
SERVICES: dict[str, tuple[int, Object]] = {
    "robin": (3, ROUND),
    "random": (3, {"loadBalancing": {"policy": "Random"}}),
    "least": (3, {"loadBalancing": {"policy": "LeastRequest"}}),
    "header": (3, {"loadBalancing": {"policy": "Hash", "hash": {"header": "x-user"}},
                   "outlier": {"consecutiveErrors": 1, "interval": "1h", "baseEjection": "1h"}}),
    "cookie": (3, {"loadBalancing": {"policy": "Hash", "hash": {"cookie": {"name": "u", "ttl": "1h"}}}}),
    "gateway": (1, {"retries": GATEWAY}),
    "codes": (1, {"retries": {**GATEWAY, "when": [], "statusCodes": [429]}}),
    "posts": (1, {"retries": {**GATEWAY, "methods": ["POST"]}}),
    "reset": (1, {"retries": {**GATEWAY, "when": ["Reset"]}}),
    "tries": (1, {"retries": {**GATEWAY, "perTryTimeout": "50ms"}}),
    "timed": (1, {"retries": {**GATEWAY, "perTryTimeout": "1h"}}),
    "default": (1, {"limits": {"requests": 1000}}),
    "elsewhere": (2, {**ROUND, "retries": GATEWAY}),
    "budget": (1, {"retries": {**GATEWAY, "attempts": 1, "budget": {"percent": 20, "minConcurrent": 3}}}),
    "generous": (1, {"retries": {**GATEWAY, "attempts": 1, "budget": {"percent": 100}}}),
    "outlier": (3, {**ROUND, "outlier": {"consecutiveErrors": 5, "interval": "100ms", "baseEjection": "500ms"}}),
    "most": (3, {**ROUND, "outlier": {"consecutiveErrors": 2, "interval": "1h", "baseEjection": "1h"}}),
    "requests": (1, {"limits": {"requests": 5}}),
    "waiting": (1, {"limits": {"connections": 2, "pendingRequests": 3}}),
    "bytes": (1, {"limits": {"connections": 2}}),
    "rate": (1, {"limits": {"requestsPerSecond": 5}}),
    "abort": (1, {"faults": {"abort": {"status": 503}}}),
    "some": (1, {"faults": {"abort": {"status": 418, "percent": 25}}}),
    "delay": (1, {"faults": {"delay": {"fixed": "150ms"}}}),
}  # fmt: skip


@pytest.fixture(scope="module")
def routed(serve: Callable[..., Routed]) -> Routed:
    found = [samples.traffic_policy(name, name, **spec) for name, (_, spec) in SERVICES.items()]
    ports = {"bytes": {"name": "tcp", "port": 80, "targetPort": 8080}}
    found += [samples.service(name, *filter(None, [ports.get(name)])) for name in SERVICES]
    timeouts = {"backendRequest": "50ms"}
    found.append(samples.route("timed", samples.to("timed", timeouts=timeouts), parent="timed"))
    return serve(found, {name: count for name, (count, _) in SERVICES.items()})


def bounds(n: int, share: float) -> tuple[int, int]:
    """The least and the most of n that fall on something with this share, but for ERROR."""
    logs = math.log(share), math.log(1 - share)
    chances = [
        math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * logs[0] + (n - k) * logs[1])
        for k in range(n + 1)
    ]  # fmt: skip

    def tail(order: list[float]) -> int:
        total, count = 0.0, 0
        while total + order[count] < ERROR / 2:
            total, count = total + order[count], count + 1
        return count

    return tail(chances), n - tail(chances[::-1])


def calls(routed: Routed, service: str, n: int, **headers: str) -> list[Answer]:
    """So many requests one after the other, on one connection."""
    client = HTTPConnection("127.0.0.1", routed.ports[f"shop/{service}/80"], timeout=30)
    found = []
    for _ in range(n):
        client.request("GET", "/", headers={"host": service, **headers})
        answer = client.getresponse()
        found.append(Answer(answer.status, answer.getheaders(), answer.read().decode()))
    client.close()
    return found


def who(answers: list[Answer]) -> list[str]:
    """Which Pod answered."""
    return [each.seen["app"] for each in answers]


class Crowd:
    """Requests that are open at once."""

    def __init__(self, routed: Routed, service: str, path: str = "/slow") -> None:
        self._pool = ThreadPoolExecutor(100)
        self._ask = lambda: routed.get(service, path)
        self.asked: list[Future[Answer]] = []

    def ask(self, n: int) -> None:
        self.asked += [self._pool.submit(self._ask) for _ in range(n)]

    def done(self) -> int:
        return sum(each.done() for each in self.asked)

    def statuses(self) -> Counter[int]:
        """Once all are answered."""
        found = Counter(each.result(30).status for each in self.asked)
        self._pool.shutdown()
        return found


def test_round_robin_takes_turns(routed: Routed) -> None:
    found = who(calls(routed, "robin", 60))
    assert set(Counter(found).values()) == {20}
    assert all(found[i] == found[i + 3] for i in range(57))  # at random: once in 3 ** 57


def test_random_keeps_no_order_and_spreads(routed: Routed) -> None:
    found = who(calls(routed, "random", 600))
    low, high = bounds(600, 1 / 3)
    assert all(low <= count <= high for count in Counter(found).values()), (Counter(found), low, high)
    assert len(set(found)) == 3
    repeats = sum(found[i] == found[i + 1] for i in range(599))  # in turns: none
    assert bounds(599, 1 / 3)[0] <= repeats <= bounds(599, 1 / 3)[1]


def test_least_request_spares_who_is_busy(routed: Routed) -> None:
    busy, *others = routed.pods["least"]
    for each in others:
        each.go.set()
    crowd = Crowd(routed, "least")
    held = lambda: len(crowd.asked) - crowd.done()  # noqa: E731
    while held() < 3 or busy.seen.qsize() < 3:  # of those asked some stay with the busy one
        crowd.ask(3)
        wait(lambda: held() <= busy.seen.qsize() and crowd.asked, "the others to answer")
    low, high = bounds(450, 1 / 9)  # both of the two that are looked at are the busy one
    before = busy.seen.qsize()
    answers = calls_or_held(routed, 450)
    assert low <= answers <= high < bounds(450, 1 / 3)[0], (answers, low, high, before)
    busy.go.set()
    assert set(crowd.statuses()) == {200}


def calls_or_held(routed: Routed, n: int) -> int:
    """How many of so many requests the first Pod of "least" got."""
    return Counter(who(calls(routed, "least", n)))["least-0"]


def test_hash_keeps_users_where_they_are(routed: Routed) -> None:
    def homes() -> dict[str, set[str]]:
        users = [f"user-{number}" for number in range(100)]
        return {user: set(who(calls(routed, "header", 3, **{"x-user": user}))) for user in users}

    before = homes()
    assert all(len(each) == 1 for each in before.values())
    count = Counter(next(iter(each)) for each in before.values())
    # The hash of an address decides, as good as chance: its ports differ from run to run.
    assert all(bounds(100, 1 / 3)[0] <= count[f"header-{i}"] <= bounds(100, 1 / 3)[1] for i in range(3)), (
        count
    )
    # One goes (it is ejected): its users move, most others stay. By number of Pods, half of them would move.
    routed.pods["header"][2].status = 500
    lost = next(user for user, where in before.items() if where == {"header-2"})
    assert calls(routed, "header", 1, **{"x-user": lost})[0].status == 500
    # Ejected by the main thread, which tells the worker a moment later.
    wait(lambda: calls(routed, "header", 1, **{"x-user": lost})[0].status == 200, "it to be left out")
    after = homes()
    assert all(len(each) == 1 and each != {"header-2"} for each in after.values())
    stayed = [user for user in before if before[user] != {"header-2"}]
    moved = sum(before[user] != after[user] for user in stayed)
    assert moved <= len(stayed) // 4, (moved, len(stayed))
    # Without the header there is nothing to go by.
    assert set(who(calls(routed, "header", 60))) == {
        "header-0",
        "header-1",
    }  # one of them alone: 2 in 2 ** 60


def test_a_client_without_the_cookie_is_given_one(routed: Routed) -> None:
    first = [routed.get("cookie") for _ in range(40)]  # Envoy makes its value of the connection's addresses
    assert set(who(first)) == {"cookie-0", "cookie-1", "cookie-2"}  # not all: 3 in 10 ** 7
    (given,) = first[0].header("set-cookie")
    name, _, value = given.partition(";")[0].partition("=")
    assert name == "u"
    assert "max-age=3600" in given.lower()
    again = calls(routed, "cookie", 20, cookie=f"u={value.strip(chr(34))}")
    assert set(who(again)) == {first[0].seen["app"]}
    assert not any(each.header("set-cookie") for each in again)


@pytest.mark.parametrize(
    ("service", "method", "path", "pod", "seen", "status"),
    [
        ("gateway", "GET", "/", {"status": 503}, 3, 503),
        ("gateway", "GET", "/", {"status": 503, "heals": True}, 2, 200),
        ("gateway", "GET", "/", {"status": 500}, 1, 500),
        ("gateway", "GET", "/", {"breaks": True}, 3, 503),
        ("gateway", "POST", "/", {"status": 503}, 1, 503),  # it may have been done already
        ("gateway", "POST", "/", {"breaks": True}, 1, 503),
        ("posts", "POST", "/", {"status": 503}, 3, 503),
        ("posts", "GET", "/", {"status": 503}, 1, 503),
        ("codes", "GET", "/", {"status": 429}, 3, 429),
        ("codes", "GET", "/", {"status": 503}, 1, 503),
        ("reset", "GET", "/", {"breaks": True}, 3, 503),
        ("reset", "GET", "/", {"status": 503}, 1, 503),
        ("tries", "GET", "/slow", {}, 3, 504),
        ("timed", "GET", "/slow", {}, 3, 504),  # the route's own limit for a try goes before
        ("default", "GET", "/", {"status": 503}, 1, 503),
        ("default", "GET", "/", {"breaks": True}, 1, 503),
    ],
)  # fmt: skip
def test_retries(
    routed: Routed, service: str, method: str, path: str, pod: dict[str, Any], seen: int, status: int
) -> None:
    (application,) = routed.pods[service]
    before = application.seen.qsize()
    for name, value in {"status": 200, "heals": False, "breaks": False, **pod}.items():
        setattr(application, name, value)
    assert routed.get(service, path, method=method).status == status
    assert application.seen.qsize() - before == seen


def test_a_retry_goes_elsewhere(routed: Routed) -> None:
    bad, good = routed.pods["elsewhere"]
    bad.status = 503
    assert {each.status for each in calls(routed, "elsewhere", 20)} == {200}
    assert (bad.seen.qsize(), good.seen.qsize()) == (10, 20) or good.seen.qsize() == 20


@pytest.mark.parametrize(("service", "least", "most"), [("budget", 3, 12), ("generous", 30, 60)])
def test_a_budget_bounds_the_retries_that_are_open(
    routed: Routed, service: str, least: int, most: int
) -> None:
    """Of 60 that fail at once. One that waits for its next try is not open: "all of them" may be half of 60."""
    (application,) = routed.pods[service]
    application.status = 503
    crowd = Crowd(routed, service)
    crowd.ask(60)
    wait(lambda: application.seen.qsize() == 60, "60 requests")
    first, application.go = application.go, type(application.go)()
    first.set()  # those 60 fail at once; what comes anew is held, so that no retry ends and makes room

    def stats() -> tuple[int, int]:
        return routed.stat(service, "upstream_rq_retry"), routed.stat(service, "upstream_rq_retry_overflow")

    wait(lambda: sum(stats()) == 60, "each to be tried again, or not")
    retried = stats()[0]
    assert least <= retried <= most
    wait(lambda: application.seen.qsize() == 60 + retried, "the retries")
    application.go.set()
    assert crowd.statuses() == {503: 60}
    assert application.seen.qsize() == 60 + retried


def test_a_pod_that_fails_is_left_out_and_comes_back(routed: Routed) -> None:
    bad = routed.pods["outlier"][2]
    bad.status = 500
    found = calls(routed, "outlier", 15)
    assert Counter(each.status for each in found) == {200: 10, 500: 5}
    at, seen = time.monotonic(), bad.seen.qsize()
    assert seen == 5
    bad.status = 200
    until_back = wait(
        lambda: calls(routed, "outlier", 3) and bad.seen.qsize() > seen and time.monotonic(),
        "it to come back",
    )
    assert until_back - at >= 0.5 - 0.1  # it was ejected before `at` by what 3 requests take
    assert Counter(who(calls(routed, "outlier", 30))) == {f"outlier-{i}": 10 for i in range(3)}


def test_no_more_are_left_out_than_may_be(routed: Routed) -> None:
    for each in routed.pods["most"][1:]:
        each.status = 500
    calls(routed, "most", 30)
    assert routed.stat("most", "outlier_detection.ejections_active") == 1  # half of three, at most
    assert Counter(each.status for each in calls(routed, "most", 20)) == {200: 10, 500: 10}


def refused(routed: Routed, service: str) -> int:
    """Lines of its log about requests that were over a limit."""
    return sum(
        " UO " in line and f"to shop/{service}/80" in line for line in routed.log.read_text().splitlines()
    )


def test_requests_over_the_limit_are_refused_at_once(routed: Routed) -> None:
    (application,) = routed.pods["requests"]
    crowd = Crowd(routed, "requests")
    crowd.ask(20)
    wait(lambda: crowd.done() == 15, "15 refusals")
    assert application.seen.qsize() == 5
    application.go.set()
    assert crowd.statuses() == {200: 5, 503: 15}
    assert application.seen.qsize() == 5
    wait(lambda: refused(routed, "requests") == 15, "the log")
    assert routed.get("requests").status == 200  # room again


def test_requests_over_the_rate_are_refused_and_come_to_no_server(routed: Routed) -> None:
    (application,) = routed.pods["rate"]
    began = time.monotonic()
    answers = [routed.get("rate") for _ in range(40)]
    passed = [each for each in answers if each.status == 200]
    assert 5 <= len(passed) <= 6 + 5 * (time.monotonic() - began)
    assert application.seen.qsize() == len(passed)
    over = [each for each in answers if each.status != 200]
    assert over, "all passed"
    assert {each.status for each in over} == {429}
    assert all(("x-envoy-ratelimited", "true") in each.headers for each in over)
    wait(lambda: routed.get("rate").status == 200, "room again")


def test_requests_wait_for_a_connection(routed: Routed) -> None:
    (application,) = routed.pods["waiting"]
    crowd = Crowd(routed, "waiting")
    for number in (1, 2):
        crowd.ask(1)
        wait(lambda number=number: application.seen.qsize() == number, "a connection that is busy")  # type: ignore[misc]
    crowd.ask(18)
    wait(lambda: crowd.done() == 15, "15 refusals")
    assert application.seen.qsize() == 2
    application.go.set()
    assert crowd.statuses() == {200: 5, 503: 15}
    assert application.seen.qsize() == 5


def test_connections_of_bytes_over_the_limit_are_closed(routed: Routed) -> None:
    (application,) = routed.pods["bytes"]
    open_: list[socket.socket] = []
    for _ in range(2):
        open_.append(socket.create_connection(("127.0.0.1", routed.ports["shop/bytes/80"]), timeout=30))
        open_[-1].sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert open_[-1].recv(12) == b"HTTP/1.1 200"
    third = socket.create_connection(("127.0.0.1", routed.ports["shop/bytes/80"]), timeout=30)
    try:
        third.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert third.recv(1) == b""
    except ConnectionError:
        pass  # closed before it was read
    assert application.seen.qsize() == 2
    for each in (*open_, third):
        each.close()


def test_aborted_requests_never_come_to_the_application(routed: Routed) -> None:
    (application,) = routed.pods["abort"]
    assert Counter(each.status for each in calls(routed, "abort", 50)) == {503: 50}
    assert application.seen.qsize() == 0


def test_a_share_of_requests_is_aborted(routed: Routed) -> None:
    (application,) = routed.pods["some"]
    found = Counter(each.status for each in calls(routed, "some", 600))
    low, high = bounds(600, 0.25)
    assert low <= found[418] <= high, found
    assert found[200] == 600 - found[418] == application.seen.qsize()


def test_delayed_requests_are_late(routed: Routed) -> None:
    for _ in range(3):
        at = time.monotonic()
        assert routed.get("delay").status == 200
        assert time.monotonic() - at >= 0.15
    assert routed.pods["delay"][0].seen.qsize() == 3


def test_bounds() -> None:
    assert bounds(10, 0.5) == (0, 10)
    low, high = bounds(1000, 0.5)
    assert (low, high) == (1000 - high, 500 + 77)  # 4.9 standard deviations
