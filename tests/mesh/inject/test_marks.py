"""NET_RAW is taken from the Pod's own containers; who can set the proxy's mark all the same is told so."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.mesh import names
from labsupport.mesh.inject import webhook
from labsupport.mesh.inject.asked import Settings

from .test_patch import container, injected, pod

Object = dict[str, Any]


def secured(context: Object | None) -> Object:
    found = pod()
    if context is not None:
        found["spec"]["containers"][0]["securityContext"] = context
    return found


def review(found: Object) -> Object:
    request = {
        "uid": "1",
        "kind": {"kind": "Pod"},
        "operation": "CREATE",
        "object": found,
        "namespace": "shop",
    }
    received = {"apiVersion": webhook.API_VERSION, "kind": "AdmissionReview", "request": request}
    said: Object = webhook.review(received, Settings())["response"]
    return said


@pytest.mark.parametrize(
    ("context", "dropped"),
    [
        (None, ["NET_RAW"]),
        ({}, ["NET_RAW"]),
        ({"runAsUser": 1000}, ["NET_RAW"]),
        ({"capabilities": {}}, ["NET_RAW"]),
        ({"capabilities": {"add": ["CHOWN"]}}, ["NET_RAW"]),
        ({"capabilities": {"drop": []}}, ["NET_RAW"]),
        ({"capabilities": {"drop": ["CHOWN"]}}, ["CHOWN", "NET_RAW"]),
        ({"capabilities": {"drop": ["ALL"]}}, ["ALL"]),
        ({"capabilities": {"drop": ["CAP_NET_RAW"]}}, ["CAP_NET_RAW"]),
    ],
)
def test_what_does_not_ask_for_it_loses_it(context: Object | None, dropped: list[str]) -> None:
    found = secured(context)
    after = container(injected(found), "web")["securityContext"]
    assert after["capabilities"]["drop"] == dropped
    before = context or {}
    assert {k: v for k, v in after.items() if k != "capabilities"} == {
        k: v for k, v in before.items() if k != "capabilities"
    }
    assert not review(found).get("warnings")


@pytest.mark.parametrize(
    ("context", "why"),
    [
        ({"privileged": True}, "is privileged"),
        ({"capabilities": {"add": ["NET_RAW"]}}, "asks for NET_RAW"),
        ({"capabilities": {"add": ["NET_RAW"], "drop": ["ALL"]}}, "asks for NET_RAW"),
        ({"capabilities": {"add": ["cap_net_admin"]}}, "asks for NET_ADMIN"),
        ({"capabilities": {"add": ["ALL"]}}, "asks for ALL"),
    ],
)
def test_what_asks_for_it_keeps_it_and_is_warned(context: Object, why: str) -> None:
    found = secured(context)
    assert container(injected(found), "web")["securityContext"] == context
    (said,) = review(found)["warnings"]
    assert f"the container web {why}: it can set the mark" in said


def test_init_containers_too() -> None:
    found = pod(
        initContainers=[{"name": "first"}, {"name": "second", "securityContext": {"privileged": True}}]
    )
    after = injected(found)
    assert container(after, "first")["securityContext"]["capabilities"] == {"drop": ["NET_RAW"]}
    assert [said.split(":")[0] for said in review(found)["warnings"]] == [
        "the container second is privileged"
    ]


def test_the_proxy_keeps_what_it_needs() -> None:
    capabilities = container(injected(pod()), names.PROXY_CONTAINER)["securityContext"]["capabilities"]
    assert capabilities == {"drop": ["ALL"], "add": ["NET_RAW"]}


def test_where_nothing_is_captured_there_is_nothing_to_pass_by() -> None:
    found = pod(annotations={names.CAPTURE: "env"})
    found["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    assert "warnings" not in review(found)
    del found["spec"]["containers"][0]["securityContext"]
    assert "securityContext" not in container(injected(found), "web")
