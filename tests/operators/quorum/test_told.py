"""Events and metrics: what is told, once each."""

from __future__ import annotations

from labsupport.operators.quorum_operator import kinds, webhook
from labsupport.operators.quorum_operator.events import Events
from labsupport.operators.quorum_operator.metrics import Metrics
from tests.operators.quorum.fakes import FakeApi, Writes
from tests.operators.quorum.world import World


def test_each_step_and_change_is_told_once() -> None:
    world = World(size=3)
    api = FakeApi(Writes())
    events = Events(api)
    for _ in range(60):
        world.tick()
        world.round()
        assert world.last is not None
        events.tell(world.object | {"metadata": world.object["metadata"]}, world.last)
    told = [(each["reason"], each["message"]) for each in api.of(kinds.EVENTS)]
    assert len(told) == len(set(told))
    assert {"Bootstrapping", "KeyCeremony", "Quorum", "Ready"} <= {reason for reason, _ in told}
    for _ in range(5):
        world.tick()
        world.round()
        events.tell(world.object, world.last)
    assert len(api.of(kinds.EVENTS)) == len(told)


def test_metrics_in_prometheus_format() -> None:
    world = World(size=3)
    world.settle()
    metrics = Metrics()
    assert world.last is not None
    metrics.saw(world.last.seen, world.last.plan)
    metrics.count("actions_total", "lab/q", "Bootstrap")
    lines = metrics.text().splitlines()
    assert 'quorum_condition{namespace="lab",name="q",type="Available"} 1' in lines
    assert 'quorum_condition{namespace="lab",name="q",type="Degraded"} 0' in lines
    assert 'quorum_operator_actions_total{namespace="lab",name="q",action="Bootstrap"} 1' in lines
    assert 'quorum_members_answering{namespace="lab",name="q"} 3' in lines
    assert "quorum_operator_leads 0" in lines
    metrics.gone("lab/q")
    assert not [each for each in metrics.text().splitlines() if each.startswith("quorum_condition{")]


def test_the_definition_is_told_the_webhooks_authority_again_after_it_was_applied_anew() -> None:
    api = FakeApi(Writes())
    assert not webhook.register(api, "CA")
    spec = {"conversion": {"webhook": {"clientConfig": {"service": {"name": "s"}}}}}
    api.put(kinds.DEFINITIONS, "", {"metadata": {"name": webhook.DEFINITION}, "spec": spec})
    assert webhook.register(api, "CA")
    assert not webhook.register(api, "CA")
    api.of(kinds.DEFINITIONS)[0]["spec"]["conversion"]["webhook"]["clientConfig"].pop("caBundle")
    assert webhook.register(api, "CA")


def test_writes_are_counted_and_then_told() -> None:
    metrics, heard = Metrics(), list[str]()
    metrics.writing("api", heard.append)("PATCH /x")
    metrics.writing("member", heard.append)("q-0 /v1/admin/key")
    assert heard == ["PATCH /x", "q-0 /v1/admin/key"]
    assert 'quorum_operator_writes_total{namespace="",name="",to="member"} 1' in metrics.text()
