"""One replica of an elected operator: when it works, when it ends, and what it writes to the Lease."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from labsupport import kube
from labsupport.operators import elected
from labsupport.operators.elected import CONFLICT, Lease, Replica


class Ended(BaseException):
    """In place of the process's end."""


class Place:
    """A clock, a function whose answers are given, and what became of the replica."""

    def __init__(self, *answers: Any) -> None:
        self.now = 100.0
        self.answers = list(answers)
        self.did: list[Any] = []
        self.replica = Replica(
            self.elect,
            None,  # type: ignore[arg-type]
            "a",
            work=lambda: self.did.append("works"),
            rest=lambda: self.did.append("rests"),
            fall=lambda: self.end("falls"),
            leave=lambda: self.end("leaves"),
            clock=lambda: self.now,
        )

    def elect(self, lease: Any, me: str, note: Any, clock: Any, leaving: bool, **_: Any) -> Any:
        if leaving:
            self.did.append("gives up")
            return None
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self, how: str) -> None:
        self.did.append(how)
        raise Ended

    def watched(self) -> list[Any]:
        with pytest.raises(Ended):
            self.replica.watch()
        return self.did


def test_it_works_from_when_it_may_and_ends_when_it_may_not_any_more() -> None:
    place = Place(None, 104.0, None)
    place.replica.look()
    assert place.did == []
    place.replica.look()
    assert place.did == ["works"]
    place.replica.look()
    assert place.watched() == ["works", "falls"]


def test_a_time_that_has_passed_is_no_leave_to_work() -> None:
    place = Place(99.0)
    place.replica.look()
    assert place.did == []


def test_what_it_said_last_holds_while_the_api_is_away_and_no_longer() -> None:
    place = Place(104.0, kube.Unreachable("away"), kube.Unreachable("away"))
    place.replica.look()
    place.replica.look()
    assert place.did == ["works"]
    place.now = 104.0
    place.replica.look()
    assert place.watched() == ["works", "falls"]


def test_who_is_told_to_end_rests_before_it_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(104.0)
    monkeypatch.setattr(elected.learner, "ready", place.replica.stop.set)
    with pytest.raises(Ended):
        place.replica.run()
    assert place.did == ["works", "rests", "gives up", "leaves"]


class Server:
    """A Lease as the API server keeps it."""

    def __init__(self, spec: Any = None) -> None:
        self.stored: dict[str, Any] = {
            "metadata": {"resourceVersion": "1"},
            **({"spec": spec} if spec else {}),
        }

    def request(self, api: object, method: str, path: str, *, body: Any = None, timeout: float = 0) -> Any:
        if method == "PUT":
            if body["metadata"] != self.stored["metadata"]:
                raise kube.Refused(CONFLICT, "Conflict", "changed")
            version = int(self.stored["metadata"]["resourceVersion"]) + 1
            self.stored = json.loads(json.dumps(body)) | {"metadata": {"resourceVersion": str(version)}}
        return copy.deepcopy(self.stored)


def lease_on(monkeypatch: pytest.MonkeyPatch, server: Server) -> Lease:
    monkeypatch.setattr(elected.kube, "request", server.request)
    return Lease(None, "field", "ringers")  # type: ignore[arg-type]


def test_a_write_alters_what_is_named_and_notes_a_new_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server({"holderIdentity": "b", "leaseTransitions": 4, "strategy": "x"})
    lease = lease_on(monkeypatch, server)
    assert lease.read()["holderIdentity"] == "b"
    assert lease.write({"holderIdentity": "a"})
    assert lease.write({"renewTime": lease.stamp()})
    spec = server.stored["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"], spec["strategy"]) == ("a", 5, "x")
    assert spec["acquireTime"] <= spec["renewTime"]


def test_a_write_after_somebody_elses_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    lease, other = lease_on(monkeypatch, server), lease_on(monkeypatch, server)
    assert lease.read() == {}
    other.read()
    assert other.write({"holderIdentity": "b"})
    assert not lease.write({"holderIdentity": "a"})
    assert server.stored["spec"]["holderIdentity"] == "b"


def test_a_write_before_any_read_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="read"):
        lease_on(monkeypatch, Server()).write({"holderIdentity": "a"})
