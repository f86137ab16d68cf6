"""Probes rewritten: what kubelet asks afterwards, and what the helper is told to check."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.mesh.inject.probes import rewrite

Object = dict[str, Any]


def one(probe: Object, **container: Any) -> tuple[list[Object], Object]:
    done = rewrite({"containers": [{"name": "web", "readinessProbe": probe, **container}]})
    return done.operations, done.originals


@pytest.mark.parametrize(
    ("handler", "checked"),
    [
        ({"httpGet": {"path": "/a", "port": 80, "scheme": "HTTPS"}},) * 2,
        ({"tcpSocket": {"port": 80}},) * 2,
        ({"grpc": {"port": 80, "service": "x"}},) * 2,
        ({"httpGet": {"port": "web"}}, {"httpGet": {"port": 8080}}),
        ({"tcpSocket": {"port": "web"}}, {"tcpSocket": {"port": 8080}}),
        ({"tcpSocket": {"port": "81"}}, {"tcpSocket": {"port": 81}}),
    ],
)
def test_each_handler_is_asked_of_the_helper(handler: Object, checked: Object) -> None:
    probe = {**handler, "periodSeconds": 3, "timeoutSeconds": 2, "failureThreshold": 4}
    operations, originals = one(probe, ports=[{"name": "web", "containerPort": 8080}])
    assert operations == [
        {
            "op": "replace",
            "path": "/spec/containers/0/readinessProbe",
            "value": {
                "httpGet": {"path": "/probes/web/readiness", "port": 15020, "scheme": "HTTP"},
                "periodSeconds": 3,
                "timeoutSeconds": 3,
                "failureThreshold": 4,
            },
        }
    ]
    assert originals == {"web/readiness": {**checked, "timeoutSeconds": 2}}


@pytest.mark.parametrize(
    "handler",
    [
        {"exec": {"command": ["true"]}},
        {"httpGet": {"port": 80, "host": "example.test"}},
        {"tcpSocket": {"port": 80, "host": "example.test"}},
        {"tcpSocket": {"port": "unknown"}},
    ],
)
def test_what_kubelet_does_itself_stays(handler: Object) -> None:
    assert one(handler) == ([], {})


def test_every_kind_and_hook_of_every_container() -> None:
    check = {"tcpSocket": {"port": 1}}
    hook = {"httpGet": {"port": 2, "path": "/bye"}}
    init = {"name": "logs", "restartPolicy": "Always", "livenessProbe": check}
    web = {
        "name": "web",
        "readinessProbe": check,
        "livenessProbe": check,
        "startupProbe": check,
        "lifecycle": {"preStop": hook, "postStart": {"exec": {"command": ["true"]}}},
    }
    done = rewrite({"initContainers": [init], "containers": [{"name": "other"}, web]})
    assert [each["path"] for each in done.operations] == [
        "/spec/initContainers/0/livenessProbe",
        "/spec/containers/1/readinessProbe",
        "/spec/containers/1/livenessProbe",
        "/spec/containers/1/startupProbe",
        "/spec/containers/1/lifecycle/preStop",
    ]
    assert set(done.originals) == {
        "logs/liveness",
        "web/readiness",
        "web/liveness",
        "web/startup",
        "web/preStop",
    }
    assert done.originals["web/preStop"] == {**hook, "timeoutSeconds": 30}


def test_a_pod_without_probes_needs_nothing() -> None:
    done = rewrite({"containers": [{"name": "web"}], "initContainers": None})
    assert (done.operations, done.originals) == ([], {})
