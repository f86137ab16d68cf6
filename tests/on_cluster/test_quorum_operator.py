"""The Quorum operator on a cluster: a Quorum is made, grows, is upgraded under load, loses things, ends."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labsupport import kube
from labsupport.cluster.interface import Cluster
from labsupport.kube.objects import load
from labsupport.kube.wait import Target
from labsupport.paths import CLUSTERS
from labsupport.patience import patient

Kubectl = Callable[..., Any]
SPACE, SYSTEM = "quorums", "labs-system"
OPERATOR = "--as=system:serviceaccount:labs-system:quorum-operator"
KIND = "quorums.v1.quorum.labs.example"

# Writes one key after another and says of each second how long its slowest write took, lost ones included.
CLIENT = """
import json, sys, time
from labsupport.quorum.client import Client, QuorumError
urls = [f"https://q-{n}.q-members.quorums.svc:7401" for n in range(5)]
client = Client(urls, open("/etc/quorum-tokens/client").read().strip(), "/etc/quorum/ca.crt")
slowest, done, failed = 0.0, 0, 0
while True:
    began = time.monotonic()
    try:
        client.put(f"key-{done}", b"x"); done += 1
    except QuorumError as error:
        failed += 1
    slowest = max(slowest, time.monotonic() - began)
    if done % 10 == 0:
        print(json.dumps({"done": done, "failed": failed, "slowest": round(slowest, 3)}), flush=True)
    time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def quorums(cluster: Cluster, kubectl: Kubectl) -> Iterator[Callable[..., dict[str, Any]]]:
    """The operator, and a namespace for Quorums. `quorums(name)` is one as it is now."""
    api = kube.connect(cluster.kubeconfig)
    documents = [
        each for file in sorted((CLUSTERS / "manifests/quorum").glob("*.yaml")) for each in load(file)
    ]
    kube.apply(api, documents)
    deployments = [
        Target("apps/v1", "Deployment", name, SYSTEM) for name in ("quorum-operator", "quorum-conversion")
    ]
    kube.until_ready(api, deployments, timeout=patient(90))
    kubectl("create", "namespace", SPACE)

    def get(name: str = "q") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(kubectl("-n", SPACE, "get", KIND, name, "-o", "json").stdout)
        return found

    yield get
    for kind in (KIND, "quorumbackups", "quorumrestores"):
        kubectl("-n", SPACE, "delete", kind, "--all", timeout=90)
    kubectl("delete", "namespace", SPACE, timeout=90)
    kube.delete(api, documents)


def edit(kubectl: Kubectl, **spec: Any) -> None:
    kubectl("-n", SPACE, "patch", KIND, "q", "--type=merge", "-p", json.dumps({"spec": spec}))


def said(quorum: dict[str, Any]) -> dict[str, tuple[str, str]]:
    found = (quorum.get("status") or {}).get("conditions") or ()
    return {each["type"]: (each["status"], each["reason"]) for each in found}


def eventually(look: Callable[[], Any], met: Callable[[Any], bool], seconds: float) -> Any:
    """Look until it is so. Errors: AssertionError with what was seen last."""
    until = time.monotonic() + patient(seconds)
    while not met(last := look()):
        if time.monotonic() > until:
            raise AssertionError(f"after {seconds:g} s: {json.dumps(last.get('status', last), indent=1)}")
        time.sleep(0.5)
    return last


def settled(size: int, release: str) -> Callable[[dict[str, Any]], bool]:
    def met(quorum: dict[str, Any]) -> bool:
        status = quorum.get("status") or {}
        now = said(quorum)
        return (
            status.get("observedGeneration") == quorum["metadata"]["generation"]
            and status.get("voters") == status.get("ready") == size
            and status.get("release") == release
            and now["Progressing"] == ("False", "AsWanted")
            and now["KeyReady"][0] == now["Available"][0] == "True"
        )

    return met


def apply(kubectl: Kubectl, *documents: dict[str, Any]) -> None:
    kubectl(
        "-n",
        SPACE,
        "apply",
        "-f",
        "-",
        input=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}),
    )


def custom(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "quorum.labs.example/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def client() -> dict[str, Any]:
    volumes = [
        {"name": "config", "configMap": {"name": "q-config"}},
        {"name": "tokens", "secret": {"secretName": "q-tokens"}},
    ]
    mounts = [
        {"name": "config", "mountPath": "/etc/quorum"},
        {"name": "tokens", "mountPath": "/etc/quorum-tokens"},
    ]
    container = {
        "name": "client",
        "image": "labs.example/python:3.11",
        "command": ["python3", "-c", textwrap.dedent(CLIENT)],
        "volumeMounts": mounts,
    }
    spec = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client"}, "spec": spec}


def written(kubectl: Kubectl) -> dict[str, Any]:
    lines = kubectl("-n", SPACE, "logs", "client", "--tail=1", check=False).stdout.strip().splitlines()
    return dict(json.loads(lines[-1])) if lines and lines[-1].startswith("{") else {}


def test_one_is_made_and_grows(quorums: Callable[..., dict[str, Any]], kubectl: Kubectl) -> None:
    apply(
        kubectl, custom("Quorum", "q", size=3, release="1.0", upgrade={"backup": "Skip", "healthSeconds": 20})
    )
    made = eventually(quorums, settled(3, "1.0"), 60)
    edit(kubectl, size=5)
    grown = eventually(quorums, settled(5, "1.0"), 60)
    assert grown["status"]["publicKey"] == made["status"]["publicKey"]
    assert grown["status"]["keyEpoch"] > made["status"]["keyEpoch"] == 1
    addresses = kubectl(
        "-n", SPACE, "get", "endpointslice", "q-leader", "-o", "jsonpath={.endpoints[*].targetRef.name}"
    )
    assert addresses.stdout == grown["status"]["leader"]


def test_an_upgrade_under_load_with_its_operator_killed(
    quorums: Callable[..., dict[str, Any]], kubectl: Kubectl
) -> None:
    apply(kubectl, client())
    eventually(lambda: written(kubectl), lambda found: found.get("done", 0) > 20, 30)
    edit(kubectl, release="1.1")
    eventually(quorums, lambda found: bool(found["status"].get("upgrade", {}).get("member")), 30)
    holder = kubectl(
        "-n", SYSTEM, "get", "lease", "quorum-operator", "-o", "jsonpath={.spec.holderIdentity}"
    ).stdout
    kubectl("-n", SYSTEM, "delete", "pod", holder, "--grace-period=0", "--force")
    after = eventually(quorums, settled(5, "1.1"), 150)
    assert after["status"]["protocol"] == 2
    told = written(kubectl)
    assert told["failed"] == 0, told
    # One election; the client's own search for the leader is in it.
    assert told["slowest"] < patient(3.0), told
    kubectl("-n", SPACE, "delete", "pod", "client")


def test_a_release_that_never_gets_ready_is_rolled_back(
    quorums: Callable[..., dict[str, Any]], kubectl: Kubectl
) -> None:
    edit(kubectl, release="1.1-broken", upgrade={"healthSeconds": 6})
    found = eventually(quorums, lambda each: said(each)["UpgradeBlocked"] == ("True", "GateFailed"), 60)
    assert said(found)["Available"][0] == "True"
    edit(kubectl, release="1.1", size=3, upgrade={"healthSeconds": 60})
    eventually(quorums, settled(3, "1.1"), 60)
    claims = kubectl("-n", SPACE, "get", "pvc", "-o", "jsonpath={.items[*].metadata.name}").stdout.split()
    assert claims == ["data-q-0", "data-q-1", "data-q-2"]


def test_a_volume_that_is_lost_is_made_good(quorums: Callable[..., dict[str, Any]], kubectl: Kubectl) -> None:
    before = quorums()["status"]
    victim = next(f"q-{each}" for each in range(3) if f"q-{each}" != before["leader"])
    kubectl("-n", SPACE, "delete", "pvc", f"data-{victim}", "--wait=false")
    kubectl("-n", SPACE, "delete", "pod", victim)
    eventually(quorums, lambda each: each["status"]["keyEpoch"] > before["keyEpoch"], 60)
    after = eventually(quorums, settled(3, "1.1"), 60)
    assert after["status"]["publicKey"] == before["publicKey"]


def test_a_back_up_into_a_new_quorum(quorums: Callable[..., dict[str, Any]], kubectl: Kubectl) -> None:
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "archive"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}},
    }
    apply(
        kubectl,
        volume,
        custom("QuorumBackup", "first", quorum="q", claimName="archive"),
        custom("Quorum", "r", size=3, release="1.1"),
        custom("QuorumRestore", "again", quorum="r", claimName="archive", backup="first"),
    )

    def restore() -> dict[str, Any]:
        return dict(json.loads(kubectl("-n", SPACE, "get", "quorumrestore", "again", "-o", "json").stdout))

    found = eventually(
        restore, lambda each: (each.get("status") or {}).get("phase") in ("Completed", "Failed"), 90
    )
    assert found["status"]["phase"] == "Completed", found["status"]
    assert quorums("r")["status"]["publicKey"] != quorums("q")["status"]["publicKey"]
    kubectl("-n", SPACE, "delete", KIND, "r", "--timeout=60s", timeout=90)


def test_a_schedule_of_back_ups_comes_and_goes(
    quorums: Callable[..., dict[str, Any]], kubectl: Kubectl
) -> None:
    def schedule() -> dict[str, Any]:
        found = kubectl("-n", SPACE, "get", "cronjob", "q-backup", "--ignore-not-found", "-o", "json").stdout
        return dict(json.loads(found)) if found else {}

    edit(kubectl, backup={"claimName": "archive", "schedule": "0 3 29 2 *", "keep": 1})
    eventually(schedule, bool, 20)
    for name in ("q-backup-1", "q-backup-2"):  # as the schedule names them
        kubectl("-n", SPACE, "create", "job", name, "--from=cronjob/q-backup")
        kubectl(
            "-n",
            SPACE,
            "wait",
            f"job/{name}",
            "--for=condition=Complete",
            f"--timeout={patient(40):g}s",
            timeout=150,
        )
    log = kubectl("-n", SPACE, "logs", "job/q-backup-2").stdout
    assert json.loads(log.splitlines()[-1])["removed"] == ["q-backup-1.quorum"]
    edit(kubectl, backup=None)
    eventually(schedule, lambda found: not found, 20)


def test_both_versions_are_served_without_an_operator(kubectl: Kubectl, quorums: Callable[..., Any]) -> None:
    kubectl("-n", SYSTEM, "scale", "deployment", "quorum-operator", "--replicas=0")
    try:
        old = json.loads(
            kubectl("-n", SPACE, "get", "quorums.v1beta1.quorum.labs.example", "q", "-o", "json").stdout
        )
        assert old["spec"]["replicas"] == 3
        assert old["spec"]["version"] == "1.1"
        assert old["spec"]["threshold"] == 2
    finally:
        kubectl("-n", SYSTEM, "scale", "deployment", "quorum-operator", "--replicas=2")


REFUSED = {
    "an even size": ({"size": 4, "release": "1.0"}, "size"),
    "a threshold that two groups could reach": (
        {"size": 5, "release": "1.0", "threshold": 2},
        "more than half",
    ),
    "a threshold above the size": ({"size": 3, "release": "1.0", "threshold": 4}, "at most size"),
    "a release that nobody knows": ({"size": 3, "release": "3.0"}, "release"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_at_once(name: str, kubectl: Kubectl, quorums: Callable[..., Any]) -> None:
    spec, why = REFUSED[name]
    wrong = json.dumps(custom("Quorum", "wrong", **spec))
    done = kubectl("-n", SPACE, "create", "--dry-run=server", "-f", "-", input=wrong, check=False)
    assert done.returncode != 0
    assert why in done.stderr


@pytest.mark.parametrize("wrong", ["a.b", "x" * 41, "1st"])
def test_a_name_that_pods_and_services_cannot_have_is_refused(
    wrong: str, kubectl: Kubectl, quorums: Callable[..., Any]
) -> None:
    content = json.dumps(custom("Quorum", wrong, size=3, release="1.0"))
    done = kubectl("-n", SPACE, "create", "--dry-run=server", "-f", "-", input=content, check=False)
    assert "named after it" in done.stderr


@pytest.mark.parametrize(
    "change",
    [{"release": "1.0"}, {"storage": {"size": "1Gi"}}, {"size": 6}],
    ids=lambda each: next(iter(each)),
)
def test_what_cannot_change_is_refused(change: Any, kubectl: Kubectl, quorums: Callable[..., Any]) -> None:
    change = json.dumps({"spec": change})
    done = kubectl("-n", SPACE, "patch", KIND, "q", "--type=merge", "-p", change, check=False)
    assert done.returncode != 0


def job(claim: str, *command: str, **container: Any) -> str:
    about = {"name": "a", "image": "labs.example/quorum:1.0", "command": list(command), **container}
    volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": claim}}]
    spec = {"restartPolicy": "Never", "containers": [about], "volumes": volumes}
    made = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": {"template": {"spec": spec}},
    }
    return json.dumps(made)


PROGRAM = ("python3", "-m", "labsupport.quorum")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (job("data-q-0", *PROGRAM), "mounted by that member alone"),
        (job("archive", "cat", "/d/share-1.json"), "run the members' program"),
        (
            job("archive", *PROGRAM, env=[{"name": "PYTHONPATH", "value": "/d"}]),
            "environment and mounts alone",
        ),
    ],
    ids=["a member's volume", "another program", "another program by the environment"],
)
def test_with_the_operators_rights_no_share_is_read(
    content: str, why: str, kubectl: Kubectl, quorums: Callable[..., Any]
) -> None:
    done = kubectl("-n", SPACE, "create", "--dry-run=server", OPERATOR, "-f", "-", input=content, check=False)
    assert why in done.stderr
    for sub in ("exec", "attach", "portforward", "log", "proxy", "ephemeralcontainers"):
        can = kubectl("auth", "can-i", "get", "pods", f"--subresource={sub}", OPERATOR, check=False)
        assert can.stdout.strip() == "no", sub


def test_with_the_operators_rights_only_members_are_bound(
    kubectl: Kubectl, quorums: Callable[..., Any]
) -> None:
    binding = (
        "create",
        "clusterrolebinding",
        "--serviceaccount=default:default",
        OPERATOR,
        "--dry-run=server",
    )
    other = kubectl(*binding, "other", "--clusterrole=quorum-member", check=False)
    assert "the bindings of members alone" in other.stderr
    more = kubectl(*binding, "quorum-member:x:y", "--clusterrole=cluster-admin", check=False)
    assert "not currently held" in more.stderr
