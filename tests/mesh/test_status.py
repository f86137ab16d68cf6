"""What is said of routes and policies: each condition and reason, and that nothing is said twice."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labsupport.mesh import changes, names, status
from labsupport.mesh.api import Reference
from tests.mesh import samples
from tests.mesh.changing import Event, events, world
from tests.mesh.samples import Object, to

NOW, LATER = "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"
ONE = Reference("HTTPRoute", "shop", "one")
MIRROR = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "absent", "port": 80}}}
BACKEND = {"name": "orders", "port": 80}


def said(found: Object, *objects: Object, refusal: str = "") -> dict[str, tuple[str, str]]:
    """Of each condition its status and reason, at the first parent."""
    model = samples.model(*samples.shop(), found, *objects)
    content = status.route_status(model, found, refusal, NOW)
    assert content is not None
    return {each["type"]: (each["status"], each["reason"]) for each in content["parents"][0]["conditions"]}


def route(*rules: Object, **parent: Any) -> Object:
    return samples.route("one", *(rules or (to("orders-v2"),)), **parent)


TCP = samples.service("tcp", {"name": "tcp", "port": 80}, {"name": "http", "port": 81}, address="10.96.0.5")
HEADLESS = samples.service("headless", address="None")
EXTERNAL = samples.service("external", address="")
EXTERNAL["spec"]["type"] = "ExternalName"


def test_all_is_well() -> None:
    assert said(route()) == {
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("True", "ResolvedRefs"),
        "Programmed": ("True", "Programmed"),
    }


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (route(parent="absent"), "NoMatchingParent"),
        (route(port=81), "NoMatchingParent"),
        (route(sectionName="grpc"), "NoMatchingParent"),
        (route(port=80, sectionName="http"), "Accepted"),
        (route(parent="tcp"), "Accepted"),  # one of its ports speaks HTTP
        (route(parent="tcp", port=80), "NoMatchingParent"),
        (route(parent="headless"), "NoMatchingParent"),
        (route(parent="external"), "NoMatchingParent"),
        (route(to("orders", filters=[{"type": "ExtensionRef"}])), "UnsupportedValue"),
        (route(to("orders", filters=[{"type": "CORS", "cors": {}}])), "UnsupportedValue"),
        (route({"backendRefs": [{**BACKEND, "filters": [MIRROR]}]}), "UnsupportedValue"),
        (route({"backendRefs": [{**BACKEND, "filters": [{"type": "ResponseHeaderModifier"}]}]}), "Accepted"),
    ],
)
def test_accepted(found: Object, reason: str) -> None:
    ok = "True" if reason == "Accepted" else "False"
    assert said(found, TCP, HEADLESS, EXTERNAL)["Accepted"] == (ok, reason)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (to("orders", "absent"), "BackendNotFound"),
        (to("absent:0"), "BackendNotFound"),
        (to("external"), "BackendNotFound"),
        (to("headless"), "ResolvedRefs"),
        ({"backendRefs": [{"name": "orders", "port": 81}]}, "BackendNotFound"),
        ({"backendRefs": [{"name": "orders"}]}, "BackendNotFound"),
        ({"backendRefs": [{"kind": "ServiceImport", "group": "example.org", "name": "orders"}]}, "InvalidKind"),
        ({"backendRefs": [{**BACKEND, "namespace": "other"}]}, "ResolvedRefs"),
        ({"backendRefs": [{"name": "tcp", "port": 80}]}, "UnsupportedProtocol"),
        (to("orders", filters=[MIRROR]), "BackendNotFound"),
        ({"backendRefs": []}, "ResolvedRefs"),
    ],
)  # fmt: skip
def test_resolved_refs(rule: Object, reason: str) -> None:
    ok = "True" if reason == "ResolvedRefs" else "False"
    found = said(route(rule), TCP, HEADLESS, EXTERNAL, samples.service("orders", namespace="other"))
    assert found["ResolvedRefs"] == (ok, reason)


def test_programmed_says_what_the_proxy_said() -> None:
    found = route()
    model = samples.model(*samples.shop(), found)
    content = status.route_status(model, found, "no such operator: (?=\n", NOW)
    assert content is not None
    (condition,) = [each for each in content["parents"][0]["conditions"] if each["type"] == "Programmed"]
    assert (condition["status"], condition["reason"]) == ("False", "Invalid")
    assert condition["message"].endswith("no such operator: (?=")


def test_where_there_are_both_kinds_the_http_route_conflicts() -> None:
    other = samples.route("other", to("orders"), kind="GRPCRoute")
    assert said(route(), other)["Accepted"] == ("False", "Conflicted")
    assert said(other, route())["Accepted"] == ("True", "Accepted")
    # One that holds for another port only is no conflict, and neither is one of another namespace.
    assert said(route(), samples.route("other", kind="GRPCRoute", port=81))["Accepted"] == (
        "True",
        "Accepted",
    )
    consumer = samples.route("other", to("orders"), kind="GRPCRoute", namespace="other")
    consumer["spec"]["parentRefs"][0]["namespace"] = "shop"
    assert said(route(), consumer)["Accepted"] == ("True", "Accepted")


def entry(controller: str, parent: Object) -> Object:
    return {"controllerName": controller, "parentRef": parent, "conditions": []}


def test_what_others_say_stays() -> None:
    found = route()
    gateway = {"name": "edge"}
    found["spec"]["parentRefs"].insert(0, gateway)
    theirs = entry("example.org/gateway", gateway)
    gone = entry(names.CONTROLLER, {"group": "", "kind": "Service", "name": "former"})
    found["status"] = {"parents": [gone, theirs]}
    content = status.route_status(samples.model(*samples.shop(), found), found, "", NOW)
    assert content is not None
    assert content["parents"][0] == theirs
    assert [each["parentRef"]["name"] for each in content["parents"]] == ["edge", "orders"]


def test_a_route_of_gateways_alone_is_none_of_ours() -> None:
    found = route()
    found["spec"]["parentRefs"] = [{"name": "edge"}]
    assert status.route_status(samples.model(found), found, "", NOW) is None
    # But for what we said when it was.
    found["status"] = {"parents": [entry(names.CONTROLLER, {"name": "orders"})]}
    assert status.route_status(samples.model(found), found, "", NOW) == {"parents": []}


def test_each_parent_has_its_own_entry() -> None:
    found = route()
    found["spec"]["parentRefs"].append({"group": "", "kind": "Service", "name": "absent"})
    content = status.route_status(samples.model(*samples.shop(), found), found, "", NOW)
    assert content is not None
    reasons = [each["conditions"][0]["reason"] for each in content["parents"]]
    assert reasons == ["Accepted", "NoMatchingParent"]


def test_a_condition_keeps_its_time_while_its_status_is_the_same() -> None:
    found = route(to("absent"))
    model = samples.model(*samples.shop(), found)
    found["status"] = status.route_status(model, found, "", NOW)
    # Another reason, another generation: the status is False as before. What turns True gets a new time.
    found["metadata"]["generation"] = 2
    found["spec"]["rules"] = [{"backendRefs": [{"kind": "Other", "group": "x", "name": "y"}]}]
    content = status.route_status(samples.model(*samples.shop(), found), found, "why", LATER)
    assert content is not None
    times = {each["type"]: each["lastTransitionTime"] for each in content["parents"][0]["conditions"]}
    assert times == {"Accepted": NOW, "ResolvedRefs": NOW, "Programmed": LATER}
    assert {each["observedGeneration"] for each in content["parents"][0]["conditions"]} == {2}


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.lists(events(), max_size=4), st.booleans())
def test_what_is_written_is_not_written_again(told: list[Event], refused: bool) -> None:
    model, refusal = samples.model(*world()), "no" if refused else ""
    for event in told:
        model = changes.applied(model, event.object, gone=event.gone)
    for found in (each for each in world() if each["kind"].endswith("Route")):
        first = status.route_status(model, found, refusal, NOW)
        assert first is not None
        assert status.route_status(model, {**found, "status": first}, refusal, LATER) is None


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.lists(events(), min_size=1, max_size=8))
def test_whose_status_differs_is_looked_at(told: list[Event]) -> None:
    model, objects = samples.model(*world()), {changes.reference(each): each for each in world()}

    def written() -> dict[Reference, Any]:
        routes = {key: each for key, each in objects.items() if key.kind.endswith("Route")}
        policies = {key: each for key, each in objects.items() if key.kind == "TrafficPolicy"}
        return {key: status.route_status(model, each, "", NOW) for key, each in routes.items()} | {
            key: status.policy_status(model, each, "", NOW) for key, each in policies.items()
        }

    seen = written()
    for event in told:
        reference = changes.reference(event.object)
        if event.gone:
            objects.pop(reference, None)
        else:
            objects[reference] = event.object
        before, model = model, changes.applied(model, event.object, gone=event.gone)
        touched = status.touched(before, model, reference)
        now = written()
        assert {key for key in now if now[key] != seen.get(key)} <= touched
        seen = now


def policy(kind: str, namespace: str, **fields: Any) -> Object:
    metadata = {
        "name": "mesh" if kind == "MeshConfig" else "default",
        "namespace": namespace,
        "generation": 3,
    }
    return {"kind": kind, "metadata": metadata, "spec": {}, **fields}


@pytest.mark.parametrize(
    ("found", "refusal", "reasons"),
    [
        (policy("PeerAuthentication", "shop"), "", ["Accepted", "Programmed"]),
        (policy("PeerAuthentication", "shop"), "no", ["Accepted", "Invalid"]),
        (policy("MeshConfig", names.SYSTEM), "", ["Accepted", "ResolvedRefs", "Programmed"]),
        (policy("MeshConfig", "shop"), "", ["Invalid"]),
    ],
)
def test_policies(found: Object, refusal: str, reasons: list[str]) -> None:
    model = samples.model()
    content = status.policy_status(model, found, refusal, NOW)
    assert content is not None
    assert [each["reason"] for each in content["conditions"]] == reasons
    again = deepcopy(found) | {"status": content}
    assert status.policy_status(model, again, refusal, LATER) is None


@pytest.mark.parametrize(
    ("collector", "why"),
    [
        ("shop/spans:4317", ""),
        ("shop/absent:4317", "there is no Service shop/absent"),
        ("shop/spans:1", "Service shop/spans has no port 1; its ports: 4317, 80"),
        ("shop/spans:80", "port 80 of Service shop/spans does not say that it speaks gRPC: name it grpc"),
    ],
)
def test_a_meshconfig_is_told_that_its_collector_cannot_be_used(collector: str, why: str) -> None:
    config = policy("MeshConfig", names.SYSTEM, spec={"tracing": {"collector": collector}})
    spans = samples.service(
        "spans",
        {"name": "grpc", "port": 4317, "targetPort": 4317},
        {"name": "http", "port": 80, "targetPort": 80},
    )
    content = status.policy_status(samples.model(config, spans), config, "", NOW)
    assert content is not None
    (found,) = (each for each in content["conditions"] if each["type"] == "ResolvedRefs")
    said = f"tracing.collector: {why}. Until it is there no spans are made; all else holds" if why else ""
    assert (found["status"], found["message"]) == (
        ("False", said) if why else ("True", "all that it names is there")
    )


def test_a_collector_that_comes_changes_what_its_meshconfig_is_told() -> None:
    config = policy("MeshConfig", names.SYSTEM, spec={"tracing": {"collector": "shop/spans:4317"}})
    before = samples.model(config)
    for name, told in (("spans", True), ("orders", False)):
        found = samples.service(name, {"name": "grpc", "port": 4317, "targetPort": 4317})
        after = changes.applied(before, found)
        touched = status.touched(before, after, changes.reference(found))
        assert (changes.reference(config) in touched) == told


def standing(found: Object, *objects: Object) -> tuple[str, str, str]:
    """What is said of a TrafficPolicy: status, reason and message of Accepted."""
    model = samples.model(*samples.shop(), TCP, HEADLESS, found, *objects)
    content = status.policy_status(model, found, "", NOW)
    assert content is not None
    (condition,) = [each for each in content["conditions"] if each["type"] == "Accepted"]
    return condition["status"], condition["reason"], condition["message"]


def traffic(name: str, *targets: str, day: int = 1, **spec: Any) -> Object:
    made = samples.traffic_policy(name, *targets, **(spec or {"limits": {"requests": 1}}))
    made["metadata"]["creationTimestamp"] = f"2026-01-{day:02}T00:00:00Z"
    return made


@pytest.mark.parametrize(
    ("target", "status_", "reason", "says"),
    [
        ("orders", "True", "Accepted", "it holds"),
        ("orders:80", "True", "Accepted", "it holds"),
        ("headless", "True", "Accepted", "it holds"),
        ("absent", "False", "TargetNotFound", "there is no Service shop/absent"),
        ("orders:81", "False", "TargetNotFound", "Service shop/orders has no port 81 of TCP"),
    ],
)
def test_a_traffic_policy_and_its_target(target: str, status_: str, reason: str, says: str) -> None:
    assert standing(traffic("p", target)) == (status_, reason, says)
    # One target that is not there is told, whatever becomes of the others.
    assert standing(traffic("p", "orders-v2", target))[:2] == (status_, reason)


@pytest.mark.parametrize(
    ("mine", "other", "reason"),
    [
        (traffic("p", "orders", day=2), traffic("q", "orders", day=1), "Conflicted"),
        (traffic("p", "orders", day=1), traffic("q", "orders", day=2), "Accepted"),
        (traffic("p", "orders", day=1), traffic("o", "orders", day=1), "Conflicted"),  # as old: by name
        (traffic("p", "orders", day=1), traffic("q", "orders:80", day=2), "Conflicted"),  # its only port
        (traffic("p", "orders:80", day=2), traffic("q", "orders", day=1), "Accepted"),
        (traffic("p", "tcp", day=1), traffic("q", "tcp:80", day=2), "Accepted"),  # port 81 is left
        (traffic("p", "tcp:81", day=2), traffic("q", "tcp:80", day=1), "Accepted"),
        (traffic("p", "orders", "orders:80"), traffic("q", "orders:80", day=2), "Accepted"),
    ],
)
def test_of_two_traffic_policies_one_holds(mine: Object, other: Object, reason: str) -> None:
    found = standing(mine, other)
    assert found[1] == reason
    assert ("shop/" + other["metadata"]["name"] in found[2]) == (
        reason == "Conflicted" or "besides" in found[2]
    )
    elsewhere = deepcopy(other)
    elsewhere["metadata"]["namespace"] = "other"  # targets Services of its own namespace alone
    assert standing(mine, elsewhere)[1] == "Accepted"


def test_a_traffic_policy_says_what_it_says_in_vain() -> None:
    parts = {"retries": {"attempts": 1}, "loadBalancing": {"policy": "Hash", "hash": {"header": "x"}}}
    vain = "port 80 of shop/tcp speaks tcp: retries, hash without effect there"
    assert standing(traffic("p", "tcp", **parts)) == ("True", "Accepted", f"it holds; {vain}")
    vain = "shop/headless has no address of its own: faults without effect"
    faults = {"faults": {"abort": {"status": 500}}}
    assert standing(traffic("p", "headless", **faults)) == ("True", "Accepted", f"it holds; {vain}")
