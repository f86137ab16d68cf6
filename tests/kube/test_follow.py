"""What following a kind tells when the API server is in trouble."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.kube import follow as module
from labsupport.kube.follow import Followed, Follower

Answer = Callable[[], dict[str, Any]]
OBJECT = {"metadata": {"name": "a", "namespace": "shop", "resourceVersion": "1"}}


def listed(*objects: dict[str, Any]) -> Answer:
    return lambda: {"items": [*objects], "metadata": {"resourceVersion": "1"}}


def failing(error: LabsError) -> Answer:
    def answer() -> dict[str, Any]:
        raise error

    return answer


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[tuple[str, bool]], list[str]]]:
    """Runs a watch over lists that are answered so, one after the other; what it told and what it reported."""
    monkeypatch.setattr(module, "RETRY", 0)
    monkeypatch.setattr(module, "RETRY_ABSENT", 0)
    monkeypatch.setattr(Follower, "_path", lambda self: "/things")
    monkeypatch.setattr(
        Follower, "_watch", lambda self, version, stop: ""
    )  # it ends at once, a new list is due

    def run(
        *answers: Answer, told: Callable[[], None] = lambda: None
    ) -> tuple[list[tuple[str, bool]], list[str]]:
        stop, left = threading.Event(), [*answers]
        heard: list[tuple[str, bool]] = []
        reported: list[str] = []

        def request(*words: Any, **named: Any) -> dict[str, Any]:
            answer = left.pop(0)
            if not left:
                stop.set()
            return answer()

        def hear(found: dict[str, Any], gone: bool) -> None:
            told()
            heard.append((found["metadata"]["name"], gone))

        monkeypatch.setattr(module, "request", request)
        Follower(None, Followed("v1", "Thing"), hear, report=reported.append).run(stop)  # type: ignore[arg-type]
        return heard, reported

    return run


@pytest.mark.parametrize(
    "trouble",
    [
        kube.Unreachable("no answer"),
        kube.Refused(503, "ServiceUnavailable", "etcd has no leader"),
        kube.Refused(403, "Forbidden", "not yet allowed"),
    ],
)
def test_a_server_in_trouble_empties_nothing(follow: Any, trouble: LabsError) -> None:
    heard, reported = follow(listed(OBJECT), failing(trouble), failing(trouble), listed(OBJECT))
    assert heard == [("a", False)]
    assert len(reported) == 1  # said once, however long it lasts


@pytest.mark.parametrize(
    "trouble", [kube.Refused(404, "NotFound", "no such path"), LabsError("no such kind")]
)
def test_a_kind_that_is_not_served_any_more_has_no_objects(follow: Any, trouble: LabsError) -> None:
    heard, _ = follow(listed(OBJECT), failing(trouble), failing(trouble), listed(OBJECT))
    assert heard == [("a", False), ("a", True), ("a", False)]


def test_what_could_not_be_told_is_told_again(follow: Any) -> None:
    failures = [LabsError("busy")]

    def told() -> None:
        if failures:
            raise kube.Unreachable(failures.pop().what)

    heard, _ = follow(listed(OBJECT), listed(OBJECT), told=told)
    assert heard == [("a", False)]
