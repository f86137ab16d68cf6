"""A lab's own place in the cluster: its namespace, how it is emptied, and how its start is reached.

Nothing outside that namespace is touched. Emptying deletes object by object rather than the namespace
itself: the namespace controller waits half a minute and more for Pods that end at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labsupport import kube
from labsupport.course.manifest import Lab
from labsupport.errors import LabsError
from labsupport.kube.objects import Object, Resource
from labsupport.kube.wait import gone

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

PART_OF = "labs.example/part-of"
LAB = "labs.example/lab"
EMPTY_TIMEOUT = 45.0  # seconds: a Pod that ignores SIGTERM takes its whole grace period of 30
READY_TIMEOUT = 60.0  # seconds
# Made by the cluster itself in each namespace, or records of the past: neither is the learner's.
_CLUSTER_MADE = {("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")}
_NOT_WORLD = {"Event", "Lease", "Endpoints"}

Progress = Callable[[str], None]


def namespace_of(lab: Lab) -> str:
    """The name of a lab's own namespace."""
    return f"lab-{lab.id.lower()}"


@dataclass(frozen=True)
class World:
    """One lab on one cluster."""

    api: ApiClient
    lab: Lab

    @property
    def namespace(self) -> str:
        """The lab's own namespace."""
        return namespace_of(self.lab)

    def name(self, suffix: str) -> str:
        """A name for a cluster-scoped object of this lab that no other lab uses."""
        return f"{self.namespace}-{suffix}"

    @property
    def labels(self) -> dict[str, str]:
        """The labels of what the course makes for this lab."""
        return {PART_OF: "course", LAB: self.lab.id.lower()}


def ensure_namespace(world: World, namespace: str = "", progress: Progress | None = None) -> None:
    """Make the lab's namespace, or another one for it; one that is being deleted is waited for first.

    Errors: LabsError if a namespace of that name exists and is not the course's.
    """
    name = namespace or world.namespace
    found = kube.get(world.api, "v1", "Namespace", name)
    if found and found["metadata"].get("deletionTimestamp"):
        kube.until(
            world.api, kube.Target("v1", "Namespace", name), gone, timeout=EMPTY_TIMEOUT, progress=progress
        )
        found = None
    if found and (found["metadata"].get("labels") or {}).get(PART_OF) != "course":
        raise LabsError(
            f"The namespace {name} exists on this cluster, but the course did not make it (it lacks the label "
            f"{PART_OF}=course). It is left as it is.",
            fix=f"if nothing in it matters: labs kubectl delete namespace {name}",
        )
    if not found:
        namespace_object = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": world.labels},
        }
        kube.apply(world.api, [namespace_object])
        # Pods are refused until the default ServiceAccount is there.
        kube.until(
            world.api,
            kube.Target("v1", "ServiceAccount", "default", name),
            lambda objects: kube.Seen(bool(objects), "its default ServiceAccount is not there yet"),
            timeout=READY_TIMEOUT,
            progress=progress,
        )


def empty(world: World, namespace: str = "", progress: Progress | None = None) -> list[str]:
    """Delete all that was made in the lab's namespace, wait until it is gone, and say what it was."""
    place = namespace or world.namespace
    removed = []
    for served, each in _contents(world.api, place):
        try:
            kube.request(
                world.api,
                "DELETE",
                served.path(place, each["metadata"]["name"]),
                body={"propagationPolicy": "Background"},
            )
        except kube.Refused as error:
            if error.status != 404:
                raise
        removed.append(f"{each['kind']} {each['metadata']['name']}")
    if removed:
        for api_version, kind in (("apps/v1", "ReplicaSet"), ("v1", "Pod"), ("v1", "Service")):
            target = kube.Target(api_version, kind, namespace=place)
            kube.until(world.api, target, gone, timeout=EMPTY_TIMEOUT, progress=progress)
        for served, each in _contents(world.api, place):
            target = kube.Target(served.api_version, each["kind"], each["metadata"]["name"], place)
            kube.until(world.api, target, gone, timeout=EMPTY_TIMEOUT, progress=progress)
    return removed


def _contents(api: ApiClient, namespace: str) -> Iterator[tuple[Resource, Object]]:
    """Everything in a namespace that somebody made there: not what the cluster makes or what another object
    owns.
    """
    versions = ["v1"]
    groups = kube.request(api, "GET", "/apis")["groups"]
    versions += [group["preferredVersion"]["groupVersion"] for group in groups]
    for version in versions:
        path = f"/apis/{version}" if "/" in version else f"/api/{version}"
        try:
            entries = kube.request(api, "GET", path)["resources"]
        except kube.Refused:
            continue  # an aggregated API whose server is away: it can hold nothing of ours
        for entry in entries:
            able = {"list", "delete"} <= set(entry["verbs"])
            if not entry["namespaced"] or not able or "/" in entry["name"] or entry["kind"] in _NOT_WORLD:
                continue
            served = Resource(version, entry["name"], True)
            for each in kube.request(api, "GET", served.path(namespace))["items"]:
                each = {"apiVersion": version, "kind": entry["kind"], **each}
                if each["metadata"].get("ownerReferences"):
                    continue
                if (each["kind"], each["metadata"]["name"]) not in _CLUSTER_MADE:
                    yield served, each


def start(world: World, at: str = "", progress: Progress | None = None) -> list[str]:
    """Bring the lab's namespace to its start, or to the start of exercise `at`, from any state; say what
    was removed.
    """
    manifests = list(world.lab.start)
    if at:
        manifests += world.lab.exercise(at).needs
    ensure_namespace(world, progress=progress)
    removed = empty(world, progress=progress)
    documents = [each for manifest in manifests for each in kube.load(world.lab.directory / manifest)]
    applied = kube.apply(world.api, documents, namespace=world.namespace)
    versions = {each["kind"]: each["apiVersion"] for each in documents}
    targets = [(versions[each.kind], each) for each in applied]
    kube.until_ready(world.api, targets, timeout=READY_TIMEOUT, progress=progress)
    return removed
