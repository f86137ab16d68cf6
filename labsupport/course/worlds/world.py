"""A lab's own place in the cluster, and how its start is reached from any state.

The lab's namespace is emptied object by object and kept: Pods can start in it at once, and a terminal that looks at it
goes on. The namespaces of the learner's other labs are deleted, so that what is on the cluster does not depend on
which labs were visited before; removal.py does that in less time than it takes to make one. What counts as the
labs' is in ownership.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.cluster import mesh, quorum
from labsupport.course.manifest import Lab
from labsupport.course.views import Note
from labsupport.course.worlds.namespaces import SYSTEM
from labsupport.course.worlds.ownership import (
    GROUP_DOMAIN,
    LAB,
    LEARNER,
    LEARNER_LABEL,
    PART_OF,
    expand,
    labels_of,
    learner,
    namespace_of,
    ownership,
)
from labsupport.course.worlds.removal import Removed, remove
from labsupport.errors import LabsError
from labsupport.kube.objects import Object
from labsupport.kube.wait import gone
from labsupport.mesh.names import GROUP as MESH_GROUP
from labsupport.mesh.names import INJECT
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

__all__ = [
    "GROUP_DOMAIN",
    "LAB",
    "LEARNER",
    "LEARNER_LABEL",
    "PART_OF",
    "Started",
    "World",
    "apply_and_wait",
    "empty",
    "ensure_namespace",
    "expand",
    "is_started",
    "labels_of",
    "learner",
    "load",
    "marked",
    "namespace_of",
    "parse",
    "recognise",
    "start",
    "started_note",
]

STARTED = "labs.example/start"  # annotation of a lab's namespace: its start was reached, and which
GONE_TIMEOUT = patient(45.0)  # seconds for a namespace that is being deleted
READY_TIMEOUT = patient(60.0)  # seconds
# Seconds for what controllers make in a new namespace; a fraction of one is usual.
MADE_TIMEOUT = patient(20.0)
# Other kinds are ready once they are there, which `apply` has seen.
_BECOMES_READY = {"Deployment", "StatefulSet", "DaemonSet", "Pod", "Job", "Namespace"}

Progress = Callable[[str], None]


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

    @property
    def namespace_labels(self) -> dict[str, str]:
        """The labels of the lab's own namespace."""
        return self.labels | ({INJECT: "true"} if self.lab.mesh == "joined" else {})

    def expand(self, text: str) -> str:
        """The text with this lab's names for `{namespace}`, `{group}` and `{name:SUFFIX}`."""
        return expand(self.lab, text)


@dataclass(frozen=True)
class Started:
    """What `start` did: what it removed, and the names that the earlier exercises' solutions use and define."""

    removed: Removed
    names: dict[str, Any] = field(default_factory=dict)


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


def marked(world: World, documents: Iterable[Object]) -> list[Object]:
    """The documents, those that go outside the lab's namespace with the labels that tell whose they are.

    By them `start` finds what an exercise put into another namespace. In the lab's own namespace nothing is added: what
    the server stores there is what was written.
    """
    return [_marked(world, document) for document in documents]


def _marked(world: World, document: Object) -> Object:
    metadata = document.get("metadata") or {}
    group = document["apiVersion"].rpartition("/")[0]
    # Definitions are known by their group, and so are objects of a kind that the same text may define.
    if document["kind"] in ("CustomResourceDefinition", "APIService") or group.endswith(world.group):
        return document
    try:
        namespaced = kube.objects.resource(world.api, document["apiVersion"], document["kind"]).namespaced
    except LabsError:
        return document  # a kind that the same text defines: it is known by its group
    if namespaced and metadata.get("namespace", world.namespace) == world.namespace:
        return document
    return {
        **document,
        "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), **world.labels}},
    }


def recognise(api: ApiClient) -> None:
    """See that this is a cluster that `labs up` has prepared: another one is not the course's to change.

    Errors: LabsError with the reason.
    """
    found = kube.get(api, "v1", "Namespace", SYSTEM)
    if found is None or (found["metadata"].get("labels") or {}).get(PART_OF) != "course":
        raise LabsError(
            f"The cluster at {api.configuration.host} is not one of the course: it has no namespace {SYSTEM} with the "
            f"label {PART_OF}=course, which `labs up` makes. Nothing was changed there.",
            fix="labs status names the course's cluster and its kubeconfig; in a notebook, restart the kernel after "
            "`labs notebook` was started anew",
        )


def start(world: World, at: str = "", progress: Progress | None = None) -> Started:
    """Bring the lab to its start, or to the start of exercise `at`, from any state.

    All that belongs to the learner's labs is removed first, the other labs' too. For `at`, the earlier exercises are
    solved by their reference solutions. Can be interrupted at any point and run again.
    Errors: LabsError, before anything is changed, if this is no cluster of the course, if the lab's namespace is
    somebody else's, or if there is no exercise `at`.
    """
    from labsupport.course.worlds.checkpoint import solve_until

    say = progress or (lambda text: None)
    if at:
        world.lab.exercise(at)
    recognise(world.api)
    say("looking for what your labs left")
    claimed = _claim(world)
    removed = remove(world.api, ownership(world.lab), keep=world.namespace, progress=say)
    if not claimed:
        _claim(world)
    if world.lab.mesh != "none":
        say("seeing that the mesh is there")
        ensure_mesh(world, progress)
    if world.lab.quorum != "none":
        say("seeing that the Quorum operator is there")
        # On one node a second replica of each would cost memory and give nothing.
        quorum.install(world.api, replicas=1, progress=progress)
    say(f"making the namespace {world.namespace}")
    ensure_namespace(world, progress=progress)
    say("applying what the lab starts with")
    apply_and_wait(world, world.lab.start, progress)
    defined = solve_until(world, at, say) if at else {}
    _annotate(world.api, world.namespace, {STARTED: at or "beginning"})
    return Started(removed, defined)


def started_note(lab: Lab, at: str, started: Started, given: Sequence[str] = ()) -> Note:
    """What a person should know of a start; `given` are the names that a notebook got from earlier solutions."""
    removed = started.removed
    lines = [f"Your namespace is `{namespace_of(lab)}`."]
    own = removed.words(lab.id.lower())
    lines[0] += f" Removed: {own}." if own else " It was empty."
    for other in sorted(removed.by_lab):
        if other != lab.id.lower() and (words := removed.words(other)):
            lines.append(f"Removed of lab {other.upper()}: {words}.")
    lines += removed.notes
    if given:
        lines.append(
            f"From the solutions of earlier exercises your notebook has {', '.join(f'`{name}`' for name in given)}."
        )
    lines.append(
        "Running this again resets the lab. After a restart of the kernel, "
        f'`lab.resume("{lab.id}")` goes on without a reset.'
    )
    return Note("\n".join(lines), f"Lab {lab.id} is at its start" + (f" for {at}" if at else ""))


def is_started(world: World) -> bool:
    """Whether the lab's namespace is there and its start was reached: not interrupted, and not being deleted since."""
    found = kube.get(world.api, "v1", "Namespace", world.namespace)
    if found is None or found["metadata"].get("deletionTimestamp"):
        return False
    return STARTED in (found["metadata"].get("annotations") or {})


def apply_and_wait(world: World, manifests: tuple[str, ...], progress: Progress | None = None) -> None:
    """Apply some of the lab's manifests to its namespace and wait until what they make is ready.

    Errors: LabsError names what is not ready after READY_TIMEOUT, and why.
    """
    documents = [each for manifest in manifests for each in load(world, manifest)]
    applied = kube.apply(world.api, marked(world, documents), namespace=world.namespace)
    versions = {each["kind"]: each["apiVersion"] for each in documents}
    targets = [(versions[each.kind], each) for each in applied if each.kind in _BECOMES_READY]
    kube.until_ready(world.api, targets, timeout=READY_TIMEOUT, progress=progress)
    for each in applied:
        if each.kind == "Quorum":
            target = kube.Target(quorum.API_VERSION, each.kind, each.name, each.namespace)
            kube.until(world.api, target, quorum.settled, timeout=READY_TIMEOUT, progress=progress)


def empty(world: World, namespace: str = "", progress: Progress | None = None) -> list[str]:
    """Delete all that was made in the lab's namespace, or in another of its namespaces, and say what it was.

    Errors: LabsError if the namespace is not the course's, or says what is left and why.
    """
    place = namespace or world.namespace
    if _of_the_course(world.api, place) is None:
        return []
    say = progress or (lambda text: None)
    removed = remove(world.api, ownership(world.lab), keep=place, inside=place, progress=say)
    return [str(found) for found in removed.plain()]


def ensure_namespace(world: World, namespace: str = "", progress: Progress | None = None) -> None:
    """Make the lab's namespace, or another one for it; one that is being deleted is waited for first.

    Errors: LabsError if a namespace of that name exists and is not the course's.
    """
    name = namespace or world.namespace
    found = _of_the_course(world.api, name)
    if found and found["metadata"].get("deletionTimestamp"):
        target = kube.Target("v1", "Namespace", name)
        kube.until(world.api, target, gone, timeout=GONE_TIMEOUT, progress=progress)
        found = None
    if not found:
        metadata = {
            "name": name,
            "labels": world.namespace_labels if name == world.namespace else world.labels,
        }
        kube.apply(world.api, [{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}])
    for kind, made in (("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")):
        _await_made(world.api, kind, made, name, progress)


def _await_made(api: ApiClient, kind: str, name: str, namespace: str, progress: Progress | None) -> None:
    """Wait for what each namespace gets from the cluster; without it Pods are refused, or wait for their volumes.

    One that was altered is deleted, so that it is made anew.
    """
    altered = False

    def as_made(objects: list[Object]) -> kube.Seen:
        nonlocal altered
        altered = bool(objects) and _altered(objects[0])
        return kube.Seen(bool(objects), f"its {kind} {name} is not there yet")

    target = kube.Target("v1", kind, name, namespace)
    kube.until(api, target, as_made, timeout=MADE_TIMEOUT, progress=progress)
    if altered:
        path = f"/api/v1/namespaces/{namespace}/{kind.lower()}s/{name}"
        kube.request(api, "DELETE", path)
        kube.until(api, target, as_made, timeout=MADE_TIMEOUT, progress=progress)


def _altered(made: Object) -> bool:
    """Whether an object has more in it than the controller that makes it writes. Its `managedFields` do not tell: they
    are not kept for objects that were made without any.
    """
    metadata = made["metadata"]
    annotations = set(metadata.get("annotations") or {}) - {"kubernetes.io/description"}
    more = made.keys() - {"apiVersion", "kind", "metadata", "data"}
    data = set(made.get("data") or {}) - {"ca.crt"}
    return bool(metadata.get("labels") or metadata.get("ownerReferences") or annotations or more or data)


def _of_the_course(api: ApiClient, name: str) -> Object | None:
    """The namespace, or None where there is none. Errors: LabsError if the course did not make it."""
    found = kube.get(api, "v1", "Namespace", name)
    if found and (found["metadata"].get("labels") or {}).get(PART_OF) != "course":
        raise LabsError(
            f"The namespace {name} exists on this cluster, but the course did not make it (it lacks the label "
            f"{PART_OF}=course). It is left as it is.",
            fix=f"if nothing in it matters: labs kubectl delete namespace {name}",
        )
    return found


def _claim(world: World) -> bool:
    """Give the lab's namespace, if there is one, the labels and annotations of a new one; False where that was refused.

    It loses the mark of a reached start, so that an interrupted one is known for what it is. A webhook of the lab's may
    refuse that, until it is removed. Errors: LabsError if the namespace is somebody else's.
    """
    found = _of_the_course(world.api, world.namespace)
    if found is None or found["metadata"].get("deletionTimestamp"):
        return True
    metadata = found["metadata"]
    wanted = {"kubernetes.io/metadata.name": world.namespace, **world.namespace_labels}
    labels: dict[str, str | None] = dict.fromkeys(metadata.get("labels") or {})
    labels |= wanted
    annotations = dict.fromkeys(metadata.get("annotations") or {})
    if annotations or metadata.get("labels") != wanted:
        patch = {"metadata": {"labels": labels, "annotations": annotations}}
        path = f"/api/v1/namespaces/{world.namespace}"
        try:
            kube.patch(world.api, path, patch)
        except kube.Refused:
            return False
    return True


def ensure_mesh(world: World, progress: Progress | None = None) -> None:
    """See that the mesh is as it is when newly installed: all of it there, and no settings but the defaults.

    But for settings that another lab, or another learner, has made and may be watching: they take them back themselves.
    Errors: LabsError with what is missing.
    """
    mesh.install(world.api, progress)
    for found in kube.list_objects(world.api, f"{MESH_GROUP}/v1alpha1", "MeshConfig"):
        labels = found["metadata"].get("labels") or {}
        if all(labels.get(key, value) == value for key, value in world.labels.items()):
            kube.delete(world.api, [found])


def _annotate(api: ApiClient, namespace: str, annotations: dict[str, str]) -> None:
    patch = {"metadata": {"annotations": annotations}}
    kube.patch(api, f"/api/v1/namespaces/{namespace}", patch)
