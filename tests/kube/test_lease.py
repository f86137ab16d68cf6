"""One Lease, two candidates, a clock in the test's hand: at most one leads at any time."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest

from labsupport.kube import lease
from labsupport.kube.client import Refused, Unreachable
from labsupport.kube.lease import Election


class Server:
    """The Lease as the API server keeps it."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.version = 0
        self.away = False
        self.between = lambda: None  # runs between the server's read and the writer's write

    def request(self, api: object, method: str, path: str, *, body: Any = None) -> Any:
        if self.away:
            raise Unreachable("away")
        if method == "GET":
            if self.stored is None:
                raise Refused(404, "NotFound", "none")
            found = copy.deepcopy(self.stored)
            self.between()
            return found
        if method == "POST" and self.stored is not None:
            raise Refused(409, "AlreadyExists", "there")
        if method == "PUT" and body["metadata"].get("resourceVersion") != str(self.version):
            raise Refused(409, "Conflict", "changed")
        self.version += 1
        self.stored = copy.deepcopy(body)
        self.stored["metadata"]["resourceVersion"] = str(self.version)
        return self.stored


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(lease, "request", made.request)
    return made


def pair() -> tuple[Election, Election, Clock]:
    clock = Clock()
    one, two = (Election(None, "ns", "x", name, clock=clock) for name in ("one", "two"))  # type: ignore[arg-type]
    return one, two, clock


def test_the_first_leads_and_the_second_waits(server: Server) -> None:
    one, two, clock = pair()
    assert one.step()
    for _ in range(20):
        clock.now += 2
        assert one.step()
        assert not two.step()
        assert one.leads()
        assert not two.leads()


def test_the_second_takes_over_when_the_first_is_silent_and_never_before_it_has_stopped(
    server: Server,
) -> None:
    one, two, clock = pair()
    one.step()
    two.step()
    died = clock.now
    while not two.step():
        assert not (one.leads() and two.leads())
        clock.now += 0.5
        assert clock.now < died + 30
    assert not one.leads()
    assert clock.now - died >= 15
    assert server.stored is not None
    assert server.stored["spec"]["leaseTransitions"] == 1


def test_a_renewal_counts_from_when_it_was_read_and_not_from_when_a_slow_read_began(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, clock = pair()
    one.step()

    def slow(api: object, method: str, path: str, *, body: Any = None) -> Any:
        """A request that is eight seconds on its way, in which the first renews; it is its last time."""
        monkeypatch.setattr(lease, "request", server.request)
        clock.now += 8
        assert one.step()
        return server.request(api, method, path, body=body)

    monkeypatch.setattr(lease, "request", slow)
    assert not two.step()
    renewed = clock.now
    while not two.step():
        clock.now += 0.5
    assert clock.now - renewed >= 15
    assert not one.leads()


def test_who_cannot_renew_stops_by_itself(server: Server) -> None:
    one, _, clock = pair()
    one.step()
    server.away = True
    clock.now += 9
    with pytest.raises(Unreachable):
        one.step()
    assert one.leads()
    clock.now += 2
    assert not one.leads()


def test_of_two_that_try_at_once_one_loses(server: Server) -> None:
    one, two, clock = pair()
    one.step()
    one.release()
    clock.now += 1

    def other() -> None:
        server.between = lambda: None
        assert two.step()

    server.between = other
    assert not one.step()
    assert two.leads()
    assert not one.leads()


def test_who_ends_gives_it_up_at_once(server: Server) -> None:
    one, two, clock = pair()
    one.step()
    one.release()
    clock.now += 2
    assert two.step()


def test_a_deadline_after_others_may_begin_is_refused() -> None:
    with pytest.raises(ValueError, match="deadline"):
        Election(None, "ns", "x", "one", duration=10, deadline=10)  # type: ignore[arg-type]


def test_run_tells_when_it_is_won_and_once_when_it_is_lost(server: Server) -> None:
    clock, told, stop = Clock(), [], threading.Event()
    one = Election(None, "ns", "x", "one", clock=clock)  # type: ignore[arg-type]

    def won() -> None:
        told.append("won")
        server.away = True
        clock.now += 20

    one.run(stop, won=won, lost=lambda: told.append("lost"), retry=0.001)
    assert told == ["won", "lost"]
    assert not stop.is_set()
