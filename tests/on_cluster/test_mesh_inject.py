"""Injection as kubelet and the API server see it: every kind of workload and of probe, under strict mTLS."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .conftest import Mesh
from .pods import PYTHON, SHELL

Object = dict[str, Any]
Kubectl = Callable[..., Any]
SPACE, LOCKED = "mesh-inject", "mesh-locked"
WEB = "labs.example/web:1"
GRPC_HEALTH = """
import grpc, concurrent.futures
answer = grpc.unary_unary_rpc_method_handler(lambda request, context: b"\\x08\\x01")
server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
health = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": answer})
server.add_generic_rpc_handlers((health,))
server.add_insecure_port("0.0.0.0:9000")
server.start()
server.wait_for_termination()
"""


def pod(name: str, *, annotations: dict[str, str] | None = None, image: str = WEB, **parts: Any) -> Object:
    """A Pod; `container` overrides fields of its one container, other keywords those of the spec."""
    container = {"name": "main", "image": image, **parts.pop("container", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}, "annotations": annotations or {}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **parts},
    }


def template(app: str, container: Object, **spec: Any) -> Object:
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": [container], **spec}}


def put(kubectl: Kubectl, *objects: Object, namespace: str = SPACE, check: bool = True) -> Any:
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    return kubectl("-n", namespace, "apply", "-f", "-", input=items, check=check)


def ready(kubectl: Kubectl, *names: str, namespace: str = SPACE) -> None:
    for name in names:
        kubectl("-n", namespace, "wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s", timeout=70)


def get(kubectl: Kubectl, *words: str, namespace: str = SPACE) -> Any:
    return json.loads(kubectl("-n", namespace, "get", *words, "-o", "json").stdout)


def init_names(found: Object) -> list[str]:
    return [each["name"] for each in found["spec"].get("initContainers", [])]


@pytest.fixture(scope="module", autouse=True)
def space(kubectl: Kubectl, mesh: Mesh) -> Iterator[None]:
    """A namespace with strict mTLS and a web server in it, and one that allows no privileged Pod."""
    inject = {"mesh.labs.example/inject": "true"}
    restricted = {**inject, "pod-security.kubernetes.io/enforce": "restricted"}
    spaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        for name, labels in ((SPACE, inject), (LOCKED, restricted))
    ]
    strict = {
        "apiVersion": "mesh.labs.example/v1alpha1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "default"},
        "spec": {"mode": "STRICT"},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }
    container = {
        "name": "web",
        "image": WEB,
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template("web", container)},
    }
    for each in spaces:
        kubectl("apply", "-f", "-", input=json.dumps(each))
    put(kubectl, strict, service, deployment)
    kubectl("-n", SPACE, "rollout", "status", "deployment/web", "--timeout=60s", timeout=70)
    yield
    kubectl("delete", "namespace", SPACE, LOCKED, "--wait=false")


def test_deployments_and_stateful_sets_get_a_proxy(kubectl: Kubectl) -> None:
    stateful = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": template("db", {"name": "db", "image": WEB}),
        },
    }
    put(kubectl, stateful)
    kubectl("-n", SPACE, "rollout", "status", "statefulset/db", "--timeout=60s", timeout=70)
    for app in ("web", "db"):
        (found,) = get(kubectl, "pods", "-l", f"app={app}")["items"]
        assert init_names(found) == ["mesh-capture", "mesh-proxy"]
        assert found["metadata"]["labels"]["mesh.labs.example/proxy"] == "redirect"


def test_jobs_complete_and_their_init_containers_have_the_mesh(kubectl: Kubectl) -> None:
    ask = {"image": SHELL, "command": ["curl", "-sS", "--fail", "http://web/"]}
    spec = template(
        "asks", {"name": "main", **ask}, initContainers=[{"name": "before", **ask}], restartPolicy="Never"
    )
    job = {"spec": {"template": spec, "backoffLimit": 0}}
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "often"},
        "spec": {"schedule": "0 0 1 1 *", "jobTemplate": job},
    }
    put(kubectl, {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, **job}, cron)
    kubectl("-n", SPACE, "create", "job", "from-cron", "--from=cronjob/often")
    for name in ("once", "from-cron"):
        kubectl("-n", SPACE, "wait", f"job/{name}", "--for=condition=Complete", "--timeout=60s", timeout=70)
        for container in ("before", "main"):
            said = kubectl("-n", SPACE, "logs", f"job/{name}", "-c", container).stdout
            assert json.loads(said)["service"] == "web", container


HTTP = {"httpGet": {"path": "/healthz", "port": 8080}}
# Name -> the container's fields, and whether the Pod is to become Ready.
PROBED: dict[str, tuple[Object, bool]] = {
    "http": ({"readinessProbe": HTTP}, True),
    "http-named": (
        {
            "ports": [{"name": "own", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": "own"}},
        },
        True,
    ),
    "http-not-found": (
        {
            "image": PYTHON,
            "command": ["python3", "-m", "http.server", "8080"],
            "readinessProbe": {"httpGet": {"path": "/no-such-file", "port": 8080}},
        },
        False,
    ),
    "tcp-open": ({"readinessProbe": {"tcpSocket": {"port": 8080}}}, True),
    "tcp-closed": ({"readinessProbe": {"tcpSocket": {"port": 8081}}}, False),
    "startup-then-ready": ({"startupProbe": {"tcpSocket": {"port": 8080}}, "readinessProbe": HTTP}, True),
    "exec": ({"readinessProbe": {"exec": {"command": ["true"]}}}, True),
    "exec-false": ({"readinessProbe": {"exec": {"command": ["false"]}}}, False),
    "grpc": (
        {
            "image": PYTHON,
            "command": ["python3", "-c", GRPC_HEALTH],
            "readinessProbe": {"grpc": {"port": 9000}},
        },
        True,
    ),
    "grpc-closed": ({"readinessProbe": {"grpc": {"port": 9001}}}, False),
}


def test_probes_of_every_kind_mean_under_strict_mtls_what_they_say(kubectl: Kubectl) -> None:
    """What must not pass is looked at after its probe has failed several times."""
    pods = []
    for name, (container, _) in PROBED.items():
        fields = {
            key: {**value, "periodSeconds": 1} if key.endswith("Probe") else value
            for key, value in container.items()
        }
        pods.append(pod(f"probe-{name}", container=fields))
    put(kubectl, *pods)
    ready(kubectl, *(f"probe-{name}" for name, (_, passes) in PROBED.items() if passes))
    failing = {f"probe-{name}" for name, (_, passes) in PROBED.items() if not passes}
    deadline = time.monotonic() + 60
    while True:
        events = get(kubectl, "events", "--field-selector", "reason=Unhealthy")["items"]
        told = {
            each["involvedObject"]["name"]
            for each in events
            if each.get("count", 1) >= 3 and "{main}" in each["involvedObject"].get("fieldPath", "")
        }
        if failing <= told:
            break
        assert time.monotonic() < deadline, f"no failed probes of {failing - told}"
        time.sleep(0.5)
    for name in failing:
        conditions = get(kubectl, "pod", name)["status"]["conditions"]
        assert {each["status"] for each in conditions if each["type"] == "Ready"} == {"False"}, name
    kubectl("-n", SPACE, "delete", "pod", "--wait=false", *(each["metadata"]["name"] for each in pods))


def test_a_failed_probe_says_why_in_the_helpers_words(kubectl: Kubectl) -> None:
    """Asked at the helper as kubelet does, since kubelet's event has the status alone."""
    probe = {"tcpSocket": {"port": 8081}, "periodSeconds": 60}
    put(kubectl, pod("why", container={"readinessProbe": probe}))
    kubectl(
        "-n", SPACE, "wait", "pod/why", "--for=jsonpath={.status.containerStatuses[0].started}=true",
        "--timeout=60s", timeout=70,
    )  # fmt: skip
    ask = ["curl", "-s", "-w", " %{http_code}", "http://127.0.0.1:15020/probes/main/readiness"]
    said = kubectl("-n", SPACE, "exec", "why", "-c", "main", "--", *ask).stdout
    assert said.endswith(" 503")
    assert "refused" in said.lower()


def test_the_pods_own_security_settings_do_not_reach_our_containers(kubectl: Kubectl) -> None:
    context = {"runAsUser": 1000, "runAsGroup": 3000, "runAsNonRoot": True, "fsGroup": 2000}
    put(
        kubectl,
        pod(
            "nobody",
            securityContext=context,
            automountServiceAccountToken=False,
            container={"readinessProbe": {**HTTP, "periodSeconds": 1}},
        ),
    )
    ready(kubectl, "nobody")
    said = kubectl(
        "-n", SPACE, "exec", "nobody", "-c", "main", "--", "curl", "-sS", "--fail", "http://web/"
    ).stdout
    assert json.loads(said)["service"] == "web"


RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def test_where_no_privilege_is_allowed_the_other_mode_works(kubectl: Kubectl) -> None:
    put(
        kubectl,
        pod(
            "by-variable",
            annotations={"mesh.labs.example/capture": "env"},
            container={"securityContext": RESTRICTED, "readinessProbe": {**HTTP, "periodSeconds": 1}},
        ),
        namespace=LOCKED,
    )
    ready(kubectl, "by-variable", namespace=LOCKED)
    ask = ["curl", "-sS", "--fail", f"http://web.{SPACE}/"]
    said = kubectl("-n", LOCKED, "exec", "by-variable", "-c", "main", "--", *ask).stdout
    assert json.loads(said)["service"] == "web"
    # Without the variable nothing leads to the proxy, and a strict server refuses plaintext.
    plain = kubectl(
        "-n", LOCKED, "exec", "by-variable", "-c", "main", "--", *ask, "--noproxy", "*", check=False
    )
    assert plain.returncode != 0


def test_where_no_privilege_is_allowed_capture_is_refused_with_the_reason(kubectl: Kubectl) -> None:
    done = put(
        kubectl, pod("by-rules", container={"securityContext": RESTRICTED}), namespace=LOCKED, check=False
    )
    assert "violates PodSecurity" in done.stderr
    assert "mesh-capture" in done.stderr


@pytest.mark.parametrize(
    ("annotation", "told"),
    [
        ({"mesh.labs.example/exclude-inbound-ports": "http"}, '"http" is none'),
        ({"mesh.labs.example/capture": "magic"}, 'must be "redirect" or "env", not "magic"'),
        ({"mesh.labs.example/inject": "maybe"}, 'must be "true" or "false", not "maybe"'),
    ],
)
def test_bad_annotations_are_refused(kubectl: Kubectl, annotation: dict[str, str], told: str) -> None:
    done = put(kubectl, pod("bad", annotations=annotation), check=False)
    assert done.returncode != 0
    assert told in done.stderr


def test_a_slip_of_the_keyboard_is_warned_of(kubectl: Kubectl) -> None:
    wrong = {"mesh.labs.example/exclude-ports": "80"}
    items = json.dumps(pod("slip", annotations=wrong))
    done = kubectl("-n", SPACE, "create", "--dry-run=server", "-f", "-", input=items)
    assert "means nothing to the mesh" in done.stderr


def test_an_excluded_port_is_not_the_proxys(kubectl: Kubectl) -> None:
    """From a Pod that has no proxy: the port answers plaintext, all others do not."""
    said = {"mesh.labs.example/exclude-inbound-ports": "8080"}
    out = {"mesh.labs.example/inject": "false"}
    put(
        kubectl,
        pod("open", annotations=said),
        pod("shut"),
        pod("outside", annotations=out, image=SHELL, container={"command": ["sleep", "inf"]}),
    )
    ready(kubectl, "open", "shut", "outside")
    assert init_names(get(kubectl, "pod", "outside")) == []
    codes = {}
    for name in ("open", "shut"):
        address = get(kubectl, "pod", name)["status"]["podIP"]
        ask = ["curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", f"http://{address}:8080/"]
        codes[name] = kubectl("-n", SPACE, "exec", "outside", "--", *ask, check=False).stdout
    assert codes == {"open": "200", "shut": "000"}


def test_a_copy_of_an_injected_pod_has_one_proxy(kubectl: Kubectl) -> None:
    put(kubectl, pod("original"))
    ready(kubectl, "original")
    found = get(kubectl, "pod", "original")
    metadata = {key: found["metadata"][key] for key in ("labels", "annotations")}
    spec = {key: value for key, value in found["spec"].items() if key != "nodeName"}
    copied = {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "name": "copied"}, "spec": spec}
    kubectl("-n", SPACE, "create", "-f", "-", input=json.dumps(copied))
    ready(kubectl, "copied")
    assert init_names(get(kubectl, "pod", "copied")) == ["mesh-capture", "mesh-proxy"]


def test_while_the_control_plane_is_away_only_pods_of_the_mesh_wait_for_it(
    kubectl: Kubectl, namespace: str
) -> None:
    scale = ["-n", "labs-system", "scale", "deployment/mesh-control"]
    kubectl(*scale, "--replicas=0")
    try:
        kubectl(
            "-n", "labs-system", "wait", "pod", "-l", "mesh.labs.example/part=control", "--for=delete",
            "--timeout=60s", timeout=70,
        )  # fmt: skip
        refused = put(kubectl, pod("too-early"), check=False)
        assert "failed calling webhook" in refused.stderr
        out = {"mesh.labs.example/inject": "false"}
        put(kubectl, pod("without", annotations=out))
        put(kubectl, pod("elsewhere"), namespace=namespace)
        # Proxies that are there go on.
        ask = ["exec", "deployment/web", "-c", "web", "--", "curl", "-sS", "--fail", "http://web/"]
        assert json.loads(kubectl("-n", SPACE, *ask).stdout)["service"] == "web"
        kubectl("-n", SPACE, "scale", "deployment/web", "--replicas=2")
    finally:
        kubectl(*scale, "--replicas=1")
    kubectl("-n", "labs-system", "rollout", "status", "deployment/mesh-control", "--timeout=60s", timeout=70)
    # The Deployment tries again by itself.
    kubectl("-n", SPACE, "rollout", "status", "deployment/web", "--timeout=90s", timeout=100)


@pytest.mark.parametrize(
    ("kind", "name", "spec", "told"),
    [
        ("PeerAuthentication", "mine", {"mode": "STRICT"}, 'its name is "default"'),
        ("PeerAuthentication", "default", {}, "a mode, or ports"),
        ("PeerAuthentication", "default", {"mode": "OFF"}, "Unsupported value"),
        ("PeerAuthentication", "default", {"ports": [{"port": 0, "mode": "STRICT"}]}, "spec.ports[0].port"),
        ("PeerAuthentication", "default", {"ports": [{"port": 1, "mode": "STRICT"}] * 2}, "Duplicate"),
        ("MeshConfig", "other", {}, 'its name is "mesh"'),
        ("MeshConfig", "mesh", {"certificateLifetime": "25h"}, "from 10s to 24h"),
        ("MeshConfig", "mesh", {"certificateLifetime": "soon"}, "should match"),
    ],
)
def test_what_no_policy_can_mean_is_refused_by_the_api_server(
    kubectl: Kubectl, kind: str, name: str, spec: Object, told: str
) -> None:
    policy = {
        "apiVersion": "mesh.labs.example/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }
    done = kubectl("-n", SPACE, "apply", "-f", "-", input=json.dumps(policy), check=False)
    assert done.returncode != 0
    assert told in done.stderr
