"""The host of snapshot functions: what it takes for a snapshot and for a push, and what it serves after each."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from labsupport.operators import configuration
from labsupport.operators import snapshot as host
from labsupport.operators.informer import Change
from labsupport.operators.learner import Learner

CLUSTER = {"name": "web/80", "type": "EDS", "connect_timeout": "1s"}
ASSIGNMENT: dict[str, Any] = {"cluster_name": "web/80", "endpoints": []}


def test_a_snapshot_is_read_by_type_and_name() -> None:
    state = configuration.read({"clusters": [CLUSTER], "endpoints": [ASSIGNMENT]})
    assert state == {
        "clusters": {"web/80": CLUSTER},
        "endpoints": {"web/80": ASSIGNMENT},
        "listeners": {},
        "routes": {},
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "a dictionary, not NoneType"),
        ({"cluster": []}, "no cluster"),
        ({"clusters": "web"}, "a list, not str"),
        ({"clusters": [{"type": "EDS"}]}, "without a name"),
        ({"endpoints": [{"name": "web/80"}]}, "without a cluster_name"),
        ({"clusters": [CLUSTER, CLUSTER]}, "web/80 twice"),
    ],
)
def test_what_is_no_snapshot_is_told(given: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        configuration.read(given)


def test_a_field_that_envoy_has_not_is_told_with_the_resource() -> None:
    with pytest.raises(ValueError, match=r'clusters web/80: .*no field named "typ"'):
        configuration.check(configuration.read({"clusters": [{"name": "web/80", "typ": "EDS"}]}))


def test_a_push_adds_changes_and_removes() -> None:
    state = configuration.read({"clusters": [CLUSTER]})
    other = {"name": "tea/80"}
    after = configuration.pushed(state, ("clusters", {"tea/80": other, "web/80": None}))
    assert after["clusters"] == {"tea/80": other}
    assert state["clusters"] == {"web/80": CLUSTER}


@pytest.mark.parametrize("push", [None, "clusters", ("cluster", {}), ("clusters", 3)])
def test_what_is_no_push_is_told(push: object) -> None:
    with pytest.raises(ValueError, match="a push is"):
        configuration.pushed(configuration.read({}), push)


def test_an_object_is_given_without_what_only_the_server_needs() -> None:
    async def run() -> list[Any]:
        made = _host(lambda services, slices, routes: {"clusters": [CLUSTER]})
        metadata = {"name": "web", "managedFields": [{}]}
        made.told(Change("ADDED", "Service", None, {"kind": "Service", "metadata": metadata}))
        return made._taken()[0][0]

    assert asyncio.run(run()) == [{"kind": "Service", "metadata": {"name": "web"}}]


def test_what_cannot_be_used_leaves_the_last_good_snapshot(capsys: pytest.CaptureFixture[str]) -> None:
    results: list[Any] = [{"clusters": [CLUSTER]}, None]

    async def run() -> configuration.State:
        made = _host(lambda services, slices, routes: results.pop(0))
        await made.once()
        await made.once()
        return made.state

    assert asyncio.run(run())["clusters"] == {"web/80": CLUSTER}
    assert "NoSnapshot" in capsys.readouterr().out


def test_pushes_are_served_one_after_the_other() -> None:
    seen: list[set[str]] = []

    async def run() -> None:
        def pushes(before: configuration.State, services: Any, slices: Any, routes: Any) -> list[Any]:
            assert before["clusters"] == {}
            return [("clusters", {"a": {"name": "a"}}), ("clusters", {"b": {"name": "b"}, "a": None})]

        made = _host(pushes, paced=0.001)
        serve = made.serve

        def noted(state: configuration.State) -> None:
            seen.append({*state["clusters"]})
            serve(state)

        made.serve = noted  # type: ignore[method-assign]
        await made.once()

    asyncio.run(run())
    assert seen == [{"a"}, {"b"}]


def test_changes_that_come_one_upon_the_other_are_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "TOGETHER", 0.6)
    given: list[int] = []

    async def run() -> None:
        def count(services: Any, slices: Any, routes: Any) -> dict[str, Any]:
            given.append(len(services))
            return {}

        made = _host(count)
        running = asyncio.create_task(made.run())
        for name in "abcde":
            service = {"kind": "Service", "metadata": {"name": name}}
            made.told(Change("ADDED", "Service", None, service))
            await asyncio.sleep(0.2)
        await asyncio.sleep(1.0)
        running.cancel()

    asyncio.run(run())
    assert given == [5]


def _host(function: Any, **settings: Any) -> host.Host:
    def call(*arguments: Any, about: str = "", limit: float = 0.0) -> Any:
        return function(*arguments)

    learner = cast(Learner, SimpleNamespace(settings=settings, __call__=call))
    made = host.Host(learner, asyncio.get_running_loop())
    made._function = cast(Learner, call)
    return made
