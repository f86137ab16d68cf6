"""Injection as a pure function: each Pod is patched as the API server would, and looked at."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from labsupport.mesh import names
from labsupport.mesh.inject.asked import BadPod, Settings
from labsupport.mesh.inject.patch import patch

Object = dict[str, Any]
SETTINGS = Settings(revision="0123456789ab")


def pod(*, annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    metadata: Object = {"name": "web"}
    if annotations is not None:
        metadata["annotations"] = annotations
    return {"metadata": metadata, "spec": {"containers": [{"name": "web", "image": "i"}], **spec}}


def applied(found: Object, operations: list[Object]) -> Object:
    """`found` after the operations: add and replace of RFC 6902, with its escapes (RFC 6901)."""
    document = copy.deepcopy(found)
    for operation in operations:
        *way, last = [word.replace("~1", "/").replace("~0", "~") for word in operation["path"].split("/")[1:]]
        target: Any = document
        for word in way:
            target = target[int(word)] if isinstance(target, list) else target[word]
        value = copy.deepcopy(operation["value"])
        if operation["op"] == "replace":
            key = int(last) if isinstance(target, list) else last
            assert key in target or isinstance(target, list)
            target[key] = value
        elif isinstance(target, list):
            target.insert(len(target) if last == "-" else int(last), value)
        else:
            target[last] = value
    return document


def injected(found: Object, namespace: str = "shop") -> Object:
    return applied(found, patch(found, namespace, SETTINGS))


def container(found: Object, name: str) -> Object:
    spec = found["spec"]
    return next(each for each in [*spec["initContainers"], *spec["containers"]] if each["name"] == name)


def environment(found: Object, name: str) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(found, name).get("env", ()) if "value" in each}


def order(found: Object) -> list[str]:
    return [each["name"] for each in found["spec"]["initContainers"]]


def test_a_pod_gets_capture_then_the_proxy_as_a_native_sidecar() -> None:
    after = injected(pod())
    assert order(after) == ["mesh-capture", "mesh-proxy"]
    assert "restartPolicy" not in container(after, "mesh-capture")
    assert container(after, "mesh-proxy")["restartPolicy"] == "Always"
    assert after["metadata"]["labels"] == {names.PROXY: "redirect"}
    assert after["metadata"]["annotations"] == {names.REVISION: "0123456789ab"}


def test_the_pods_own_init_containers_come_after_and_keep_their_order() -> None:
    after = injected(pod(initContainers=[{"name": "a"}, {"name": "b"}]))
    assert order(after) == ["mesh-capture", "mesh-proxy", "a", "b"]


def test_what_the_pod_has_stays() -> None:
    before = pod(annotations={"a": "b"}, volumes=[{"name": "data", "emptyDir": {}}])
    before["metadata"]["labels"] = {"app": "web"}
    after = injected(before)
    assert after["metadata"]["labels"] == {"app": "web", names.PROXY: "redirect"}
    assert after["metadata"]["annotations"]["a"] == "b"
    assert [each["name"] for each in after["spec"]["volumes"]] == [
        "data",
        names.STATE_VOLUME,
        names.TOKEN_VOLUME,
        names.TRUST_VOLUME,
    ]
    for each in after["spec"]["containers"]:
        del each["securityContext"]  # test_marks.py
    assert after["spec"]["containers"] == before["spec"]["containers"]


@pytest.mark.parametrize("empty", [None, []])
def test_lists_that_are_empty_or_null_are_made(empty: Any) -> None:
    after = injected(pod(initContainers=empty, volumes=empty))
    assert len(after["spec"]["initContainers"]) == 2
    assert len(after["spec"]["volumes"]) == 3


def test_an_injected_pod_gets_nothing_more() -> None:
    for before in (pod(), pod(annotations={names.CAPTURE: "env"})):
        assert patch(injected(before), "shop", SETTINGS) == []


@pytest.mark.parametrize(
    ("found", "namespace"),
    [
        pytest.param(pod(annotations={names.INJECT: "false"}), "shop", id="opted out"),
        pytest.param(pod(hostNetwork=True), "shop", id="host network"),
        pytest.param(pod(annotations={"kubernetes.io/config.mirror": "x"}), "shop", id="mirror"),
        pytest.param(pod(), "labs-system", id="labs-system"),
        pytest.param(pod(), "kube-system", id="kube-system"),
    ],
)
def test_some_pods_are_left_alone(found: Object, namespace: str) -> None:
    assert patch(found, namespace, SETTINGS) == []


@pytest.mark.parametrize(
    ("annotations", "told"),
    [
        ({names.INJECT: "no"}, 'inject must be "true" or "false", not "no"'),
        ({names.CAPTURE: "tproxy"}, 'capture must be "redirect" or "env", not "tproxy"'),
        ({names.EXCLUDE_INBOUND: "80,http"}, "exclude-inbound-ports must be ports (1 to 65535) separated by"),
        ({names.EXCLUDE_INBOUND: "80,"}, '"" is none'),
        ({names.EXCLUDE_OUTBOUND: "0"}, '"0" is none'),
        ({names.EXCLUDE_OUTBOUND: "65536"}, '"65536" is none'),
        ({names.EXCLUDE_OUTBOUND: "-1"}, '"-1" is none'),
        ({names.EXCLUDE_OUTBOUND: "\u0661"}, "is none"),
        (
            {names.CAPTURE: "env", names.EXCLUDE_INBOUND: "80"},
            'means nothing with mesh.labs.example/capture "env"',
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(annotations: dict[str, str], told: str) -> None:
    with pytest.raises(BadPod) as refusal:
        patch(pod(annotations=annotations), "shop", SETTINGS)
    assert told in str(refusal.value)


def test_taken_names_are_refused() -> None:
    with pytest.raises(BadPod, match="container mesh-proxy"):
        patch(pod(containers=[{"name": "mesh-proxy"}]), "shop", SETTINGS)
    with pytest.raises(BadPod, match="volume mesh-token"):
        patch(pod(volumes=[{"name": "mesh-token"}]), "shop", SETTINGS)


def test_excluded_ports_reach_the_capture_container() -> None:
    said = {names.EXCLUDE_INBOUND: "9000, 80,80", names.EXCLUDE_OUTBOUND: "5432"}
    assert environment(injected(pod(annotations=said)), "mesh-capture") == {
        "MESH_EXCLUDE_INBOUND": "80,9000",
        "MESH_EXCLUDE_OUTBOUND": "5432",
    }
    assert environment(injected(pod()), "mesh-capture") == {
        "MESH_EXCLUDE_INBOUND": "",
        "MESH_EXCLUDE_OUTBOUND": "",
    }


def test_each_container_of_ours_has_one_capability_and_is_root_whatever_the_pod_says() -> None:
    after = injected(pod(securityContext={"runAsUser": 1000, "runAsNonRoot": True}))
    for name, capability in (("mesh-capture", "NET_ADMIN"), ("mesh-proxy", "NET_RAW")):
        context = container(after, name)["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"], "add": [capability]}
        assert (context["runAsUser"], context["runAsNonRoot"]) == (0, False)
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True


def test_the_token_is_a_volume_of_our_own_with_the_meshs_audience() -> None:
    after = injected(pod(automountServiceAccountToken=False))
    token = next(each for each in after["spec"]["volumes"] if each["name"] == names.TOKEN_VOLUME)
    assert token["projected"] == {
        "defaultMode": 0o644,
        "sources": [
            {
                "serviceAccountToken": {
                    "audience": "mesh.labs.example",
                    "expirationSeconds": 3600,
                    "path": "token",
                }
            }
        ],
    }
    mounts = {each["name"]: each["mountPath"] for each in container(after, "mesh-proxy")["volumeMounts"]}
    assert f"{mounts[names.TOKEN_VOLUME]}/token" == names.TOKEN_FILE
    assert mounts[names.TRUST_VOLUME] == names.TRUST_DIRECTORY
    assert "volumeMounts" not in container(after, "mesh-capture")


def test_the_sidecar_is_told_who_it_is() -> None:
    sidecar = container(injected(pod()), "mesh-proxy")
    fields = {
        each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"]
        for each in sidecar["env"]
        if "valueFrom" in each
    }
    assert fields == {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "POD_UID": "metadata.uid",
        "POD_IP": "status.podIP",
        "SERVICE_ACCOUNT": "spec.serviceAccountName",
    }
    assert environment(injected(pod()), "mesh-proxy") == {
        "MESH_CONTROL": "mesh-control.labs-system.svc",
        "MESH_CAPTURE": "redirect",
        "MESH_PROBES": "{}",
    }


def test_probes_are_rewritten_in_their_own_places_before_ours_move_them() -> None:
    sidecar = {"name": "logs", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 9}}}
    web = {"name": "web", "readinessProbe": {"httpGet": {"path": "/ok", "port": 8080}}}
    after = injected(pod(initContainers=[{"name": "first"}, sidecar], containers=[web]))
    assert container(after, "logs")["startupProbe"]["httpGet"]["path"] == "/probes/logs/startup"
    assert container(after, "web")["readinessProbe"]["httpGet"]["port"] == names.PROBES
    assert json.loads(environment(after, "mesh-proxy")["MESH_PROBES"]) == {
        "logs/startup": {"tcpSocket": {"port": 9}, "timeoutSeconds": 1},
        "web/readiness": {"httpGet": {"path": "/ok", "port": 8080}, "timeoutSeconds": 1},
    }


def test_what_looks_like_a_variable_in_a_probe_is_kept_from_kubelet() -> None:
    web = {"name": "web", "livenessProbe": {"httpGet": {"path": "/$(HOME)/$$x", "port": 80}}}
    value = environment(injected(pod(containers=[web])), "mesh-proxy")["MESH_PROBES"]
    assert "/$$(HOME)/$$$$x" in value


ENV = {names.CAPTURE: "env"}


def test_mode_env_needs_no_right_and_captures_nothing() -> None:
    web = {"name": "web", "readinessProbe": {"httpGet": {"path": "/ok", "port": 8080}}}
    after = injected(pod(annotations=ENV, containers=[web]))
    assert order(after) == ["mesh-proxy"]
    context = container(after, "mesh-proxy")["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(after, "web")["readinessProbe"] == web["readinessProbe"]
    assert after["metadata"]["labels"] == {names.PROXY: "env"}


def test_mode_env_leads_every_container_to_the_proxy() -> None:
    after = injected(
        pod(annotations=ENV, initContainers=[{"name": "migrate", "env": [{"name": "A", "value": "b"}]}])
    )
    for name in ("migrate", "web"):
        found = environment(after, name)
        assert found["http_proxy"] == found["HTTP_PROXY"] == "http://127.0.0.1:15080"
        assert found["no_proxy"] == found["NO_PROXY"]
        assert {"localhost", "127.0.0.1", "$(KUBERNETES_SERVICE_HOST)"} <= {*found["no_proxy"].split(",")}
    assert environment(after, "migrate")["A"] == "b"
    assert "http_proxy" not in environment(after, "mesh-proxy")


def test_mode_env_overrides_nothing() -> None:
    own = [{"name": "HTTP_PROXY", "value": "http://mine:1"}]
    found = environment(injected(pod(annotations=ENV, containers=[{"name": "web", "env": own}])), "web")
    assert found["HTTP_PROXY"] == "http://mine:1"
    assert "http_proxy" not in found
    assert "no_proxy" in found


def test_the_function_changes_nothing_itself() -> None:
    web = {"name": "web", "env": [], "readinessProbe": {"tcpSocket": {"port": 1}}}
    for said in ({}, ENV):
        before = pod(annotations=said, containers=[web])
        kept = copy.deepcopy(before)
        patch(before, "shop", SETTINGS)
        assert before == kept
