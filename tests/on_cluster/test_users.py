"""Users and groups in Pods: as Kubernetes documents them, or an event that says what this cluster cannot give.

Which map of ids the cluster has depends on who runs the tests (labsupport/cluster/embedded/idmap.py): CI runs them as
root, as an ordinary user, and as one who has subordinate ids. What is documented is under "Configure a Security Context
for a Pod or Container".
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from labsupport.cluster.embedded import removal
from labsupport.cluster.embedded.idmap import IdMap
from labsupport.cluster.interface import Cluster

from .pods import pod, start

Kubectl = Callable[..., Any]
VOLUME: dict[str, Any] = {
    "volumes": [{"name": "data", "emptyDir": {}}],
    "container": {"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
}


@pytest.fixture(scope="module")
def id_map(cluster: Cluster) -> IdMap:
    """The map of ids that the cluster was started with."""
    from labsupport.cluster.directory import ClusterDirectory

    found = removal.recorded_map(ClusterDirectory(cluster.name))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def real(id_map: IdMap) -> bool:
    """Whether the cluster's users are distinct."""
    return id_map.kind != "single"


def shell(kubectl: Kubectl, namespace: str, name: str, script: str, container: str = "main") -> str:
    """What a script prints in a Pod, errors as well."""
    done = kubectl("-n", namespace, "exec", name, "-c", container, "--", "sh", "-c", script, check=False)
    return str(done.stdout + done.stderr).strip()


def messages(kubectl: Kubectl, namespace: str, name: str, reason: str) -> list[str]:
    """What the events of a Pod with this reason say."""
    fields = f"involvedObject.name={name},reason={reason}"
    found = kubectl("-n", namespace, "get", "events", "--field-selector", fields, "-o", "json").stdout
    return [event["message"] for event in json.loads(found)["items"]]


def wait_for_event(kubectl: Kubectl, namespace: str, name: str, reason: str) -> str:
    """The message of the first such event."""
    watch = ("--for", f"jsonpath={{.reason}}={reason}", "--timeout=20s")
    fields = ("--field-selector", f"involvedObject.name={name},reason={reason}")
    while not (found := messages(kubectl, namespace, name, reason)):
        kubectl("-n", namespace, "wait", "events", *fields, *watch, check=False)
    return found[0]


def test_a_container_runs_as_the_user_and_in_the_groups_of_its_pod(
    kubectl: Kubectl, namespace: str, real: bool
) -> None:
    context = {"runAsUser": 1234, "runAsGroup": 2345, "fsGroup": 3456, "supplementalGroups": [77]}
    start(kubectl, namespace, pod("web", securityContext=context, **VOLUME))
    write = (
        "id -u; id -g; id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' '; touch /data/f; stat -c ' %u:%g' /data/f"
    )
    seen = shell(kubectl, namespace, "web", write).split("\n")
    if real:
        assert seen == ["1234", "2345", "77 2345 3456  1234:3456"]
        assert "denied" in shell(kubectl, namespace, "web", "touch /usr/mine")
        assert messages(kubectl, namespace, "web", "OneId") == []
    else:
        assert seen == ["1234", "2345", "2345  1234:2345"]
        said = wait_for_event(kubectl, namespace, "web", "OneId")
        assert "runAsUser 1234, runAsGroup 2345, fsGroup or supplementalGroups 77, 3456" in said
        assert "`labs doctor`" in said
    own = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    assert shell(kubectl, namespace, "web", f"head -c 2 {own}") == "ey", "its own token can be read"


def test_users_of_one_pod_are_kept_apart(kubectl: Kubectl, namespace: str, real: bool) -> None:
    two = pod("two", securityContext={"runAsUser": 1001}, **VOLUME)
    other = {**two["spec"]["containers"][0], "name": "other", "securityContext": {"runAsUser": 1002}}
    two["spec"]["containers"].append(other)
    start(kubectl, namespace, two)
    assert shell(kubectl, namespace, "two", "id -g") == "0", "as no group was asked for"
    wrote = "umask 077; echo secret > /data/mine; stat -c %u /data/mine"
    assert shell(kubectl, namespace, "two", wrote) == "1001"
    seen = shell(kubectl, namespace, "two", "cat /data/mine; stat -c %u /data/mine", "other")
    if real:
        assert "Permission denied" in seen
        assert "1001" in seen.splitlines()
    else:
        assert seen.splitlines() == ["secret", "1002"]
        assert "runAsUser" in wait_for_event(kubectl, namespace, "two", "OneId")


def test_root_of_a_container_gives_files_away(kubectl: Kubectl, namespace: str, real: bool) -> None:
    start(kubectl, namespace, pod("giver"))
    seen = shell(kubectl, namespace, "giver", "touch /tmp/f; chown 1234:99 /tmp/f; stat -c %u:%g /tmp/f")
    assert seen.splitlines()[-1 if real else 0] == ("1234:99" if real else "0:0"), seen
    assert real or "Invalid argument" in seen


def test_run_as_non_root_is_kept_to(kubectl: Kubectl, namespace: str) -> None:
    refused = pod("refused", securityContext={"runAsNonRoot": True})
    allowed = pod("allowed", securityContext={"runAsNonRoot": True, "runAsUser": 4321})
    start(kubectl, namespace, refused, wait=False)
    start(kubectl, namespace, allowed)
    assert shell(kubectl, namespace, "allowed", "id -u") == "4321"
    said = wait_for_event(kubectl, namespace, "refused", "Failed")
    assert "container has runAsNonRoot and image will run as root" in said


def test_an_id_beyond_those_of_the_node_is_refused_by_an_event(
    kubectl: Kubectl, namespace: str, real: bool
) -> None:
    far = pod("far", securityContext={"runAsUser": 100_000}, automountServiceAccountToken=False)
    start(kubectl, namespace, far, wait=not real)
    if real:
        said = wait_for_event(kubectl, namespace, "far", "Failed")
        assert "user 100000: this node has the ids 0 to 65535 alone" in said
    else:
        assert shell(kubectl, namespace, "far", "id -u") == "100000"


def test_who_a_containers_user_is_on_this_machine(
    kubectl: Kubectl, namespace: str, cluster: Cluster, id_map: IdMap
) -> None:
    """Root in a container is the learner or nobody, never the machine's root; another is nobody with an account."""
    start(
        kubectl,
        namespace,
        pod("as-root", command=["sleep", "41414141"]),
        pod("as-user", command=["sleep", "42424242"], securityContext={"runAsUser": 1234}),
    )
    launcher = json.loads((cluster.directory / "launcher.json").read_text())["launcher"]["pid"]
    found = {
        process.cmdline()[1]: process.uids().real
        for process in psutil.Process(launcher).children(recursive=True)
        if process.cmdline()[:1] == ["sleep"]
    }
    expected = {
        "single": (os.geteuid(), os.geteuid()),
        "subordinate": (os.geteuid(), id_map.sub_uid + 1233),
        "range": (id_map.uid_base, id_map.uid_base + 1234),
    }
    assert (found["41414141"], found["42424242"]) == expected[id_map.kind]
    assert 0 not in found.values()
    known = subprocess.run(["getent", "passwd", str(found["42424242"])], capture_output=True, check=False)
    assert known.returncode != 0 or id_map.kind == "single"


def test_the_doctor_says_which_map_there_is(cluster: Cluster, id_map: IdMap) -> None:
    from labsupport.cluster import doctor

    (said,) = (check for check in doctor.examine(cluster.name) if check.id == "ids")
    assert said.ok, said
    words = {"single": "With one id", "subordinate": "With subordinate ids", "range": "As root"}
    assert said.message.startswith(words[id_map.kind])
