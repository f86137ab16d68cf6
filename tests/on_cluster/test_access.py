"""From the host into the cluster: kubectl's streams, Services by URL, and what the cluster says of what it has not."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labsupport.cluster.interface import Cluster
from labsupport.errors import LabsError

from .pods import SHELL, pod, start

Kubectl = Callable[..., Any]


def test_logs_follow_to_the_end(kubectl: Kubectl, namespace: str) -> None:
    counts = pod("counter", command=["sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.2; done"])
    counts["spec"]["restartPolicy"] = "Never"
    start(kubectl, namespace, counts, wait=False)
    kubectl(
        "-n", namespace, "wait", "pod/counter", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s"
    )
    assert kubectl("-n", namespace, "logs", "-f", "counter").stdout.split("\n") == [
        "line 1",
        "line 2",
        "line 3",
        "",
    ]


def test_exec_keeps_streams_and_exit_status_apart(kubectl: Kubectl, namespace: str) -> None:
    start(kubectl, namespace, pod("shell", image=SHELL))
    done = kubectl(
        "-n",
        namespace,
        "exec",
        "-i",
        "shell",
        "--",
        "sh",
        "-c",
        "cat; echo aside >&2; exit 7",
        input="words",
        check=False,
    )
    assert (done.stdout, done.returncode) == ("words", 7)
    assert "aside" in done.stderr


def test_a_terminal_has_a_name_and_a_size(kubectl: Kubectl, namespace: str, cluster: Cluster) -> None:
    start(kubectl, namespace, pod("shell", image=SHELL))
    inner = [str(cluster.kubectl()), "--kubeconfig", str(cluster.kubeconfig), "-n", namespace]
    inner += ["exec", "-it", "shell", "--", "sh", "-c", "tty; stty size"]
    # script(1) gives kubectl the terminal that -t asks for.
    command = [
        "script",
        "-qec",
        "stty rows 33 cols 77; " + " ".join(f"'{word}'" for word in inner),
        "/dev/null",
    ]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=True
    )
    assert re.search(r"/dev/(pts/\d+|console)", done.stdout), done.stdout
    assert "33 77" in done.stdout


def test_attach_reads_and_writes(kubectl: Kubectl, namespace: str) -> None:
    arguments = (
        "-n",
        namespace,
        "run",
        "reader",
        f"--image={SHELL}",
        "-i",
        "--rm",
        "--restart=Never",
        "--quiet",
    )
    done = kubectl(*arguments, "--command", "--", "sh", "-c", "read a; echo got $a", input="words\n")
    assert "got words" in done.stdout


def test_cp_both_ways(kubectl: Kubectl, namespace: str, tmp_path: Path) -> None:
    start(kubectl, namespace, pod("shell", image=SHELL))
    (tmp_path / "there").write_bytes(bytes(range(256)) * 20_000)
    kubectl("-n", namespace, "cp", str(tmp_path / "there"), "shell:/tmp/file")
    kubectl("-n", namespace, "cp", "shell:/tmp/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "there").read_bytes()


WEB = pod(
    "web",
    image="labs.example/web:1",
    command=["python3", "-m", "labsupport.shop.web"],
    container={"readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1}},
)
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
}


def test_port_forward(kubectl: Kubectl, namespace: str, cluster: Cluster) -> None:
    start(kubectl, namespace, WEB)
    command = [str(cluster.kubectl()), "--kubeconfig", str(cluster.kubeconfig), "-n", namespace]
    with subprocess.Popen(
        [*command, "port-forward", "pod/web", ":8080"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            port = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert port
            for _ in range(3):
                with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/", timeout=5) as answer:
                    assert json.load(answer)["version"] == "1"
        finally:
            process.terminate()


def test_url_leads_to_a_service(kubectl: Kubectl, namespace: str, cluster: Cluster) -> None:
    start(kubectl, namespace, WEB, SERVICE)
    url = cluster.url("web", namespace)
    assert url.startswith("http://127.0.0.1:")
    assert cluster.url("web", namespace) == url
    deadline = time.monotonic() + 10
    while True:  # the endpoint reaches kube-proxy's rules a moment after the Pod is Ready
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                assert json.load(answer)["pod"] == "web"
            return
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline


def test_url_of_what_is_not_there(namespace: str, cluster: Cluster) -> None:
    with pytest.raises(LabsError, match="no Service 'nothing'"):
        cluster.url("nothing", namespace)


def test_an_unknown_image_says_what_to_do(kubectl: Kubectl, namespace: str) -> None:
    start(kubectl, namespace, pod("foreign", image="nginx:1.29"), wait=False)
    reason = "jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    kubectl("-n", namespace, "wait", "pod/foreign", f"--for={reason}=ErrImagePull", "--timeout=20s")
    events = kubectl("-n", namespace, "get", "events", "-o", "jsonpath={.items[*].message}").stdout
    assert "nginx:1.29" in events
    assert "labs images" in events


def test_names_resolve_and_services_balance(kubectl: Kubectl, namespace: str) -> None:
    start(kubectl, namespace, WEB, SERVICE, pod("client"))
    program = (
        "import json, socket, urllib.request as u\n"
        f"for name in ('web', 'web.{namespace}', 'web.{namespace}.svc.cluster.local'):\n"
        "    print(json.load(u.urlopen('http://' + name, timeout=5))['pod'])\n"
        "try: socket.getaddrinfo('example.com', 80)\n"
        "except socket.gaierror as error: print(error)\n"
    )
    kubectl("-n", namespace, "exec", "web", "--", "python3", "-c", "pass")
    done = kubectl("-n", namespace, "exec", "client", "--", "python3", "-c", program)
    assert done.stdout.split("\n")[:3] == ["web"] * 3
    assert "known" in done.stdout or "failure" in done.stdout


def test_the_default_storage_class_gives_a_volume_that_outlives_its_pod(
    kubectl: Kubectl, namespace: str
) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    volume = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}
    container = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    start(kubectl, namespace, claim, pod("first", **volume, container=dict(container)))
    kubectl("-n", namespace, "exec", "first", "--", "sh", "-c", "echo kept > /data/word")
    kubectl("-n", namespace, "delete", "pod", "first")
    start(kubectl, namespace, pod("second", **volume, container=dict(container)))
    assert kubectl("-n", namespace, "exec", "second", "--", "cat", "/data/word").stdout == "kept\n"
