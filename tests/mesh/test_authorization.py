"""What AuthorizationPolicies decide, without a proxy; and how that is explained."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.cluster.meshbench.authorization import last_stale
from labsupport.errors import LabsError
from labsupport.mesh import status
from labsupport.mesh.admin import authz
from labsupport.mesh.api import Name
from labsupport.mesh.authorization import AUDIT, ENFORCE, Request, decide, resolved, spellings
from tests.mesh import samples
from tests.mesh.samples import Object, policy

WEB = "spiffe://labs.example/ns/shop/sa/web"


def decided(*policies: Object, **request: Any) -> tuple[bool, str]:
    asked = Request(**{"identity": WEB, "port": 8080, "method": "GET", "path": "/", **request})
    held = [each for _, each in sorted(samples.model(*policies).policies.items())]
    found = decide(held, asked)
    return found.allowed, found.rule


def test_the_order() -> None:
    everything = policy("all", {})
    assert decided() == (True, "")
    assert decided(policy("none")) == (False, "")  # Allow without rules: nobody
    assert decided(policy("none"), everything) == (True, "shop/all/0")
    assert decided(policy("none", action="Deny")) == (True, "")  # Deny without rules: nothing
    assert decided(everything, policy("deny", {}, action="Deny")) == (False, "shop/deny/0")
    assert decided(policy("audited", mode="Audit")) == (True, "")
    assert decided(policy("b", {}), policy("a", {"to": [{"methods": ["PUT"]}]}, {})) == (True, "shop/a/1")


def test_callers() -> None:
    def allows(caller: Object, identity: str = WEB, key: str = "from") -> bool:
        return decided(policy("p", {key: [caller]}), identity=identity)[0]

    for pattern in ("shop/web", "*/web", "shop/*", "*/*", WEB):
        assert allows({"identities": [pattern]})
        assert not allows({"identities": [pattern]}, key="notFrom")
        assert not allows({"identities": [pattern]}, identity="")
        assert allows({"identities": [pattern]}, identity="", key="notFrom")
    foreign = "spiffe://elsewhere.example/ns/shop/sa/web"
    assert not allows({"identities": ["*/*"]}, identity=foreign)
    assert not allows({"identities": ["*/web"], "namespaces": ["other"]})
    assert not allows({"identities": ["shop/web"]}, identity=f"{WEB}/sa/web")


@pytest.mark.parametrize(
    "path",
    ["/a%2fb", "/a;b", "/a%5Cb", "/a%00", "/%25a", "/%c0%af", "/a%", "/%zz", "/a%3fb", "*", "", "/%E0%80%AF"],
)
def test_doubt_lets_nobody_in(path: str) -> None:
    anything = {"to": [{"paths": ["/*"]}]}
    assert not decided(policy("p", anything), path=path)[0]
    assert not decided(policy("p", {"to": [{"paths": ["/other"]}]}, action="Deny"), path=path)[0]
    assert not decided(policy("p", {"notTo": [{"paths": ["/other"]}]}), path=path)[0]
    assert not decided(policy("p", {"notTo": [{"paths": ["/*"]}]}, action="Deny"), path=path)[0]
    assert decided(policy("p", {"to": [{"methods": ["GET"]}]}), path=path)[0]  # of paths nothing is said


@pytest.mark.parametrize(
    "path", ["/th%C3%A9", "/a%20b", "/%22", "/%e2%82%ac", "/%F0%9F%98%80", "/a[1]", "/%E0%A4%85"]
)
def test_what_all_read_alike_is_in_no_doubt(path: str) -> None:
    assert decided(policy("p", {"to": [{"paths": ["/*"]}]}), path=path)[0]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/a/../b", "/b"), ("/../..", "/"), ("/a/.", "/a/"), ("//a///b", "/a/b"), ("/a/%2e%2E/b?x=/../y", "/b"),
        ("/%61\\b", "/a/b"), ("/a|b", "/a%7Cb"), ("/a%2fb", "/a%2fb"), ("/", "/"),
    ],
)  # fmt: skip
def test_a_path_is_compared_as_it_is_passed_on(path: str, wanted: str) -> None:
    assert resolved(path) == wanted


def test_spellings() -> None:
    assert spellings("host") == []
    assert spellings("x-a-b") == ["x-a_b", "x_a-b", "x_a_b"]


def explained(*objects: Object, **call: Any) -> authz.Explained:
    model = samples.model(*samples.shop(), *objects)
    (found,) = authz.judge(model, authz.Call(**{"caller": "shop/web", "target": "shop/orders", **call}))
    return found


def test_it_is_explained_with_the_rules_that_do_not_match() -> None:
    rule = {"from": [{"identities": ["shop/api"]}], "to": [{"paths": ["/stock/*"]}]}
    found = explained(
        policy("api", rule), policy("trial", {}, action="Deny", mode="Audit"), path="/x/../stock/1"
    )
    assert (found.pods, found.port, found.path) == (("orders-1", "orders-2"), 8080, "/stock/1")
    assert not found.decision.allowed
    assert found.audit.rule == "shop/trial/0"
    assert [(each.policy, each.misses) for each in found.tried] == [
        ("shop/api", ("from",)),
        ("shop/trial", ()),
    ]
    assert explained(policy("api", rule), caller="shop/api", path="/stock/1").decision.rule == "shop/api/0"


def test_without_an_identity_strict_closes_first() -> None:
    strict = {
        "kind": "PeerAuthentication",
        "metadata": {"name": "default", "namespace": "shop"},
        "spec": {"mode": "STRICT"},
    }
    assert explained(caller="-").decision.allowed
    found = explained(strict, policy("all", {}), caller="-")
    assert not found.decision.allowed
    assert "STRICT" in found.decision.reason


def test_pods_that_differ_are_told_apart() -> None:
    only = policy("one", selector={"matchLabels": {"version": "1"}})
    objects = samples.shop()
    objects[2]["metadata"]["labels"]["version"] = "1"
    model = samples.model(*objects, only)
    found = authz.judge(model, authz.Call("shop/web", "shop/orders"))
    assert [(each.pods, each.decision.allowed) for each in found] == [
        (("orders-1",), False),
        (("orders-2",), True),
    ]


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(LabsError, match="no Service, nor a Pod"):
        explained(target="shop/none")
    with pytest.raises(LabsError, match="not of the form"):
        explained(target="orders")
    with pytest.raises(LabsError, match="no port 81"):
        explained(port=81)


def test_its_status_says_what_it_cannot_do() -> None:
    model = samples.model()
    (said, programmed) = status.policy_conditions(model, policy("p", {"to": [{"paths": ["/a"]}]}), "")
    assert said.ok
    assert "what rule 0 says of HTTP never matches" in said.message
    assert programmed.ok
    (said, programmed) = status.policy_conditions(model, policy("p", {}), "refused by an Envoy")
    assert said.message == "it holds"
    assert not programmed.ok


def test_the_last_stale_answer() -> None:
    times = {"200": [0.5, 1.004, 1.010, 2.5, 2.6], "403": [1.006, 1.5, 2.02]}
    began = [1.0, 2.0]
    assert last_stale(times, began, 0) == pytest.approx(10)
    assert last_stale(times, began, 1) == pytest.approx(20)
    with pytest.raises(LabsError, match="never obeyed"):
        last_stale({"200": [1.5]}, began, 0)


def test_names_of_rules_are_the_policies() -> None:
    found = samples.model(policy("p", {}, {})).policies[Name("shop", "p")]
    assert [found.rule_id(index) for index in range(2)] == ["shop/p/0", "shop/p/1"]
    assert decide([found], Request(), ENFORCE, AUDIT).allowed
