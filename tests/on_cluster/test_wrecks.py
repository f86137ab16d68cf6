"""Wrecks that learners make without meaning to. `lab.start` recovers from each, says what it did, and ends in the same
state as from an empty cluster.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from labsupport import kube
from labsupport.cluster import get
from labsupport.cluster.interface import Cluster
from labsupport.course.worlds import ownership
from labsupport.course.worlds.removal import remove
from labsupport.course.worlds.snapshot import Snapshot, at_rest, difference_when_settled
from labsupport.course.worlds.world import World, ensure_namespace, is_started, start
from labsupport.errors import LabsError

from . import disorder
from .worlds import WORLDS

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

SETTLE = 20.0  # seconds for controllers to follow
QUICK = 20.0  # seconds that a recovery may take here; on an idle machine it takes 2 to 4
ENDS_WITHIN = 10.0  # seconds from Ctrl-C to the end of the process
ONE, TWO, THREE = WORLDS


@pytest.fixture
def api(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiClient]:
    """The run's cluster, where the course has the fixture labs too; nothing of them stays."""
    known = ownership.identifiers() | {lab.id for lab in WORLDS}
    monkeypatch.setattr(ownership, "identifiers", lambda: known)
    made = kube.connect(cluster.kubeconfig)
    yield made
    remove(made, ownership.ownership())


@pytest.fixture
def wanted(api: ApiClient) -> Snapshot:
    """The state of the cluster after a start of the first lab from nothing; the second lab is open then."""
    start(World(api, ONE))
    found = at_rest(api)
    start(World(api, TWO))
    return found


def recover(api: ApiClient, wanted: Snapshot) -> list[str]:
    """Start the first lab: the notes, once the state is as it should be."""
    began = time.monotonic()
    removed = start(World(api, ONE)).removed
    assert time.monotonic() - began < QUICK
    assert difference_when_settled(api, wanted, SETTLE) == []
    return removed.notes


def delete(api: ApiClient, path: str) -> None:
    kube.request(api, "DELETE", path)


# --- finalizers that nobody takes off


def test_an_object_with_a_stuck_finalizer(api: ApiClient, wanted: Snapshot) -> None:
    held = disorder.config_map("held", finalizers=["labs.example/nobody"])
    for lab in (ONE, TWO):
        ensure_namespace(World(api, lab))
        kube.apply(api, [held], namespace=World(api, lab).namespace)
    delete(api, "/api/v1/namespaces/lab-w1/configmaps/held")
    notes = recover(api, wanted)
    assert [note for note in notes if "ConfigMap held" in note and "labs.example/nobody" in note]


def test_an_object_whose_definition_is_being_deleted(api: ApiClient, wanted: Snapshot) -> None:
    world = World(api, TWO)
    widget = {"apiVersion": f"{world.group}/v1", "kind": "Widget"}
    metadata = {"name": "held", "finalizers": ["labs.example/nobody"]}
    kube.apply(api, [widget | {"metadata": metadata}], namespace=world.namespace)
    name = f"widgets.{world.group}"
    delete(api, f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
    found = kube.get(api, "apiextensions.k8s.io/v1", "CustomResourceDefinition", name)
    assert found
    assert found["metadata"]["deletionTimestamp"]
    notes = recover(api, wanted)
    assert [note for note in notes if "Widget held" in note]
    # The group can be used again at once, and no object of before comes back with it.
    start(World(api, TWO))
    widgets = kube.list_objects(api, f"{world.group}/v1", "Widget")
    assert [each["metadata"]["name"] for each in widgets] == ["first"]


def test_a_finalizer_of_others_stays(api: ApiClient, wanted: Snapshot) -> None:
    held = disorder.config_map("held", namespace="default", finalizers=["labs.example/nobody"])
    kube.apply(api, [held])
    path = "/api/v1/namespaces/default/configmaps/held"
    try:
        delete(api, path)
        before = kube.request(api, "GET", path)
        start(World(api, ONE))
        assert kube.request(api, "GET", path) == before
    finally:
        body = {"metadata": {"finalizers": None}}
        kube.patch(api, path, body)


# --- webhooks that nobody answers


@pytest.mark.parametrize("name", ["lab-w1-all", "named-otherwise"])
def test_a_dead_webhook(api: ApiClient, wanted: Snapshot, name: str) -> None:
    ensure_namespace(World(api, ONE))
    service = {"name": "nobody", "namespace": "lab-w1"}
    kube.apply(api, [disorder.webhook(name, service)])
    refused = disorder.config_map("refused")
    target = kube.Target("v1", "ConfigMap", "refused", "default")

    def in_force(objects: list[dict[str, Any]]) -> kube.Seen:
        try:
            kube.apply(api, [refused], namespace="default")
        except kube.Refused as error:
            return kube.Seen("failed calling webhook" in error.what, error.what)
        delete(api, "/api/v1/namespaces/default/configmaps/refused")
        return kube.Seen(False, "nothing is refused yet")

    kube.until(api, target, in_force, timeout=10)
    recover(api, wanted)


def test_a_dead_conversion_webhook(api: ApiClient, wanted: Snapshot) -> None:
    """With the converter away, objects stored in another version can be neither read nor deleted."""
    world = World(api, TWO)
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = [
        {"name": "v1", "served": True, "storage": False, "schema": schema},
        {"name": "v2", "served": True, "storage": True, "schema": schema},
    ]
    crd = disorder.definition(world, "oddities", "Oddity", versions=versions)
    odd = {"apiVersion": f"{world.group}/v2", "kind": "Oddity"}
    odd["metadata"] = {"name": "odd", "finalizers": ["labs.example/nobody"]}  # type: ignore[assignment]
    kube.apply(api, [crd, odd], namespace=world.namespace)
    service = {"name": "nobody", "namespace": world.namespace}
    webhook = {"conversionReviewVersions": ["v1"], "clientConfig": {"service": service}}
    crd["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
    kube.apply(api, [crd])
    path = f"/apis/{world.group}/v1/namespaces/{world.namespace}/oddities"

    def unreadable(objects: list[dict[str, Any]]) -> kube.Seen:
        try:
            kube.request(api, "GET", path)
        except kube.Refused as error:
            return kube.Seen("conversion webhook" in error.what, error.what)
        return kube.Seen(False, "its objects can still be read")

    name = crd["metadata"]["name"]
    target = kube.Target("apiextensions.k8s.io/v1", "CustomResourceDefinition", name)
    kube.until(api, target, unreadable, timeout=10)
    recover(api, wanted)


# --- namespaces on their way out


def test_half_deleted_namespaces(api: ApiClient, wanted: Snapshot) -> None:
    body = {"metadata": {"finalizers": ["labs.example/nobody"]}}
    kube.patch(api, "/api/v1/namespaces/lab-w2", body)
    for lab in (ONE, TWO):
        ensure_namespace(World(api, lab))
        disorder.half_deleted_namespace(World(api, lab))
    notes = recover(api, wanted)
    assert len([note for note in notes if "ConfigMap held" in note]) == 2
    assert [note for note in notes if "Namespace lab-w2" in note]


# --- Ctrl-C while a lab is started

CHILD = """
import sys
from pathlib import Path
from labsupport import kube
from labsupport.course import manifest
from labsupport.course.worlds import ownership, world
sys.path.insert(0, sys.argv[2])
from worlds import WORLDS
known = ownership.identifiers() | {lab.id for lab in WORLDS}
ownership.identifiers = lambda: known
say = lambda text: print(text, flush=True)
say("ready")
world.start(world.World(kube.connect(Path(sys.argv[1])), WORLDS[0]), "w1-last", say)
say("done")
"""


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 6, 8])
def test_interrupted_at(steps: int, api: ApiClient, cluster: Cluster, wanted: Snapshot) -> None:
    """SIGINT after so many lines of progress: the process ends at once, and the next start is as any other."""
    disorder.second_namespace(World(api, TWO))
    command = [sys.executable, "-c", CHILD, str(cluster.kubeconfig), str(Path(__file__).parent)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout
    said = [child.stdout.readline().strip() for _ in range(steps + 1)]
    child.send_signal(signal.SIGINT)
    began = time.monotonic()
    rest, complaint = child.communicate(timeout=ENDS_WITHIN)
    assert time.monotonic() - began < ENDS_WITHIN
    assert said[0] == "ready"
    assert "done" not in [*said, *rest.split()]
    assert "KeyboardInterrupt" in complaint
    if steps > 2:
        assert not is_started(World(api, ONE))
    recover(api, wanted)


# --- operators that go on


def operator(world: World, script: str) -> list[dict[str, Any]]:
    """A program in a Pod that may do everything in the whole cluster."""
    rbac = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": "operator", "namespace": world.namespace}
    container = {"name": "o", "image": "labs.example/python:3.11", "command": ["python3", "-c", script]}
    pod = {"serviceAccountName": "operator", "containers": [container]}
    labels = {"app": "operator"}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "operator"}},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": world.name("operator")},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [subject],
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "operator"},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
    ]


MAKER = """
import json, ssl, time, urllib.request
place = "/var/run/secrets/kubernetes.io/serviceaccount/"
context = ssl.create_default_context(cafile=place + "ca.crt")
def make(namespace, name):
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    request = urllib.request.Request(
        f"https://kubernetes.default.svc/api/v1/namespaces/{namespace}/configmaps",
        json.dumps(body).encode(),
        {"Authorization": "Bearer " + open(place + "token").read(), "Content-Type": "application/json"},
    )
    try:
        urllib.request.urlopen(request, context=context, timeout=2).read()
    except OSError:
        pass
while True:
    for namespace in ("lab-w1", "lab-w2"):
        make(namespace, "again")
    time.sleep(0.01)
"""


@pytest.mark.parametrize("lab", [pytest.param(ONE, id="of this lab"), pytest.param(TWO, id="of another lab")])
def test_an_operator_that_makes_again_what_is_deleted(api: ApiClient, wanted: Snapshot, lab: Any) -> None:
    for each in (ONE, TWO):
        ensure_namespace(World(api, each))
    kube.apply(api, operator(World(api, lab), MAKER), namespace=World(api, lab).namespace)
    target = kube.Target("v1", "ConfigMap", "again", "lab-w1")
    kube.until(api, target, lambda objects: kube.Seen(bool(objects), "not made yet"), timeout=60)
    recover(api, wanted)
    assert kube.get(api, "v1", "ConfigMap", "again", "lab-w1") is None


def test_a_crash_looping_operator(api: ApiClient, wanted: Snapshot) -> None:
    world = World(api, TWO)
    kube.apply(api, operator(world, "raise SystemExit(1)"), namespace=world.namespace)

    def crashed(pods: list[dict[str, Any]]) -> kube.Seen:
        statuses = [s for pod in pods for s in (pod.get("status") or {}).get("containerStatuses") or []]
        return kube.Seen(any(status["restartCount"] for status in statuses), "it has not crashed twice yet")

    kube.until(api, kube.Target("v1", "Pod", namespace=world.namespace), crashed, timeout=60)
    recover(api, wanted)


def test_a_program_that_ignores_its_end_is_ended(api: ApiClient, wanted: Snapshot) -> None:
    start(World(api, THREE))

    def stubborn() -> list[int]:
        found = []
        for process in psutil.process_iter(["cmdline"]):
            if "trap '' TERM" in " ".join(process.info["cmdline"] or []):
                found.append(process.pid)
        return found

    mine = [psutil.Process(pid) for pid in stubborn()]
    recover(api, wanted)
    if mine:  # a back end whose processes this machine can see
        assert psutil.wait_procs(mine, timeout=15)[1] == []


# --- another cluster


def test_a_cluster_that_is_not_the_courses_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    other = get("other")
    try:
        other.up()
        api = kube.connect(other.kubeconfig)
        start(World(api, ONE))  # as if it had been one; so there would be much to remove
        kube.delete(api, [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "labs-system"}}])
        before = at_rest(api)
        with pytest.raises(LabsError, match="is not one of the course") as refusal:
            start(World(api, ONE))
        assert api.configuration.host in str(refusal.value)
        assert difference_when_settled(api, before, 3) == []
    finally:
        other.down()
