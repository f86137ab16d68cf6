"""What a proxy's client makes of requests that are held, and of Pods that do not become ready."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from labsupport import kube
from labsupport.course.lessons import proxy as proxies
from labsupport.course.lessons.proxy import Proxy
from labsupport.kube.wait import TimedOut


class Place:
    """As much of a World as is asked for here."""

    api = None
    namespace = "lab-x"


def gone(*args: Any, **settings: Any) -> Any:
    raise kube.Unreachable("nothing came")


@pytest.fixture
def proxy() -> Proxy:
    return Proxy(Place())  # type: ignore[arg-type]


def test_a_request_that_envoy_holds_is_an_answer_of_nobody(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube, "exchange", gone)
    monkeypatch.setattr(kube, "get", lambda *args: {})
    reply = proxy.send("/tea", pod="proxy-1", timeout=3)
    assert (reply.status, reply.who, reply.text) == (0, "nobody", "no answer within 3 s")
    assert reply.reached


def test_a_cluster_that_is_gone_is_said_to_be_gone(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "exchange", gone)
    monkeypatch.setattr(kube, "get", gone)
    with pytest.raises(kube.Unreachable):
        proxy.send("/tea", pod="proxy-1")


@pytest.mark.parametrize(("age", "wanted"), [(0, 8.0), (5, 3.0), (3600, proxies.BLINK)])
def test_a_pod_is_given_time_from_its_making_on(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, age: int, wanted: float
) -> None:
    made = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
    pod = {"metadata": {"name": "proxy-1", "creationTimestamp": made}, "status": {}}
    given = []

    def late(*args: Any, timeout: float) -> Any:
        given.append(timeout)
        raise TimedOut("not ready", kube.Seen(False, "it is starting"), [pod])

    monkeypatch.setattr(kube, "get", lambda *args: {"spec": {"template": {"metadata": {}}}})
    monkeypatch.setattr(kube, "list_objects", lambda *args, **settings: [pod])
    monkeypatch.setattr(kube, "until", late)
    monkeypatch.setattr(Proxy, "log_text", lambda self, pod="": "")
    running = proxy.running(8.0)
    assert not running.serving
    assert "/ready" in running.why
    assert given == [pytest.approx(wanted, abs=0.5)]
