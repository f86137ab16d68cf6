"""A lab's own place in the cluster: its namespace, how it is emptied, and how its start is reached.

Nothing outside that namespace is touched. Emptying deletes object by object rather than the namespace
itself: the namespace controller waits half a minute and more for Pods that end at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
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
LEARNER_LABEL = "labs.example/learner"
LEARNER = "LABS_LEARNER"  # whose labs these are, where many share a cluster
GROUP_DOMAIN = "labs.example"  # reserved for examples (RFC 2606)
EMPTY_TIMEOUT = 45.0  # seconds: a Pod that ignores SIGTERM takes its whole grace period of 30
READY_TIMEOUT = 60.0  # seconds
# Made by the cluster itself in each namespace, or records of the past: neither is the learner's.
_CLUSTER_MADE = {("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")}
_LEARNER = re.compile(r"[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?")
_PLACEHOLDER = re.compile(r"\{(?:namespace|group|name:(?P<suffix>[-.a-z0-9]+))\}")
_NOT_WORLD = {"Event", "Lease", "Endpoints"}

Progress = Callable[[str], None]


def learner() -> str:
    """Who learns, where many share a cluster: LABS_LEARNER, or "" where the cluster is one learner's alone.

    Errors: LabsError if it cannot be part of a name (a DNS label, RFC 1123), or could be taken for another learner's.
    """
    name = os.environ.get(LEARNER, "")
    # "bob" and "bob-lab-o1" must not meet: the second one's lab would be named like an object of the first one's.
    if name and (not _LEARNER.fullmatch(name) or "lab" in name.split("-")):
        raise LabsError(
            f"{LEARNER} is {name!r}, which cannot begin the names of a learner's objects.",
            fix="at most 20 lower-case letters, digits and dashes, beginning and ending with a letter or digit, "
            "without `lab` as a part",
        )
    return name


def namespace_of(lab: Lab) -> str:
    """The name of a lab's own namespace: `lab-o1`, or `bob-lab-o1` for the learner bob."""
    return "-".join(part for part in (learner(), "lab", lab.id.lower()) if part)


def expand(lab: Lab, text: str) -> str:
    """The text of a lab's file, hint or expectation with this learner's names in it.

    `{namespace}`, `{group}` and `{name:SUFFIX}` stand for `lab.namespace`, `lab.group` and `lab.name("SUFFIX")`.
    Everything else stays, other braces too.
    """
    namespace = namespace_of(lab)
    values = {"{namespace}": namespace, "{group}": f"{namespace}.{GROUP_DOMAIN}"}
    return _PLACEHOLDER.sub(lambda match: values.get(match[0], f"{namespace}-{match['suffix']}"), text)


@dataclass(frozen=True)
class World:
    """One lab on one cluster."""

    api: ApiClient
    lab: Lab

    @property
    def namespace(self) -> str:
        """The lab's own namespace."""
        return namespace_of(self.lab)

    @property
    def group(self) -> str:
        """The API group of the lab's own kinds, such as `lab-o1.labs.example`."""
        return f"{self.namespace}.{GROUP_DOMAIN}"

    def name(self, suffix: str) -> str:
        """A name for a cluster-scoped object of this lab that no other lab uses."""
        return f"{self.namespace}-{suffix}"

    @property
    def labels(self) -> dict[str, str]:
        """The labels of what the course makes for this lab."""
        return labels_of(self.lab)

    def expand(self, text: str) -> str:
        """The text with this lab's names for `{namespace}`, `{group}` and `{name:SUFFIX}`."""
        return expand(self.lab, text)


def labels_of(lab: Lab) -> dict[str, str]:
    """The labels of what the course makes for a lab."""
    labels = {PART_OF: "course", LAB: lab.id.lower()}
    return labels | ({LEARNER_LABEL: learner()} if learner() else {})


def parse(world: World, text: str) -> list[Object]:
    """The documents of a lab's YAML with its names filled in. Errors: LabsError says where it is no YAML."""
    return kube.objects.parse(world.expand(text))


def load(world: World, file: str | Path) -> list[Object]:
    """The documents of one of the lab's YAML files (a path under its directory, or an absolute one), names filled in.

    Errors: LabsError names the file and line.
    """
    path = world.lab.directory / file
    try:
        return parse(world, path.read_text(encoding="utf-8"))
    except LabsError as error:
        raise LabsError(f"{path}: {error.what}") from error


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
    documents = [each for manifest in manifests for each in load(world, manifest)]
    applied = kube.apply(world.api, documents, namespace=world.namespace)
    versions = {each["kind"]: each["apiVersion"] for each in documents}
    targets = [(versions[each.kind], each) for each in applied]
    kube.until_ready(world.api, targets, timeout=READY_TIMEOUT, progress=progress)
    return removed
