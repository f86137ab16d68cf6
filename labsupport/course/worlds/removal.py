"""Removing what a learner's labs left on a cluster, from whatever state it is in; nothing of anybody else's.

The order keeps things from being made again while they are removed: webhooks and policies first, for they can refuse
all that follows; then the namespaces that are to go are marked, so nothing new is admitted to them; then permissions,
then what makes Pods, Pods, the rest, and last custom resource definitions. Then everything is looked for again, until
nothing is left.

How a namespace is ended is told in namespaces.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from labsupport import kube
from labsupport.cluster import quorum
from labsupport.course.worlds.namespaces import CONTROLLER_ENDS, Endings, forget_events
from labsupport.course.worlds.ownership import Ownership
from labsupport.errors import LabsError
from labsupport.kube.kinds import Kind, kinds, metadata
from labsupport.kube.objects import Object
from labsupport.kube.wait import TimedOut
from labsupport.mesh.names import TRUST_CONFIGMAP
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

LIMIT = patient(45.0)  # seconds in all
PATIENCE = 1.0  # seconds that a finalizer's owner has; most often it was removed just before
PATIENCE_OWN = 6.0  # seconds for the finalizers of Kubernetes itself, whose owners do run
PATIENCE_QUORUM = patient(
    10.0
)  # seconds for the Quorum operator, which runs wherever a lab has made a Quorum
ROUNDS_KEPT = 2  # of deleting, before even the namespace that is to stay is deleted
WORKERS = 6  # requests at the same time
PAGE = 500  # objects of one kind on the whole cluster; where there are more, each namespace is asked
SHORT = 6  # objects of one lab that are named one by one

_HAZARDS = {
    *("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "APIService"),
    *("ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"),
    *("MutatingAdmissionPolicyBinding", "MutatingAdmissionPolicy"),
}
_PERMISSIONS = {"RoleBinding", "ClusterRoleBinding"}
_MAKERS = {
    *("CronJob", "Job", "Deployment", "StatefulSet", "DaemonSet", "ReplicationController", "ReplicaSet"),
}
# Written by controllers after other objects: they go by themselves with those, or are deleted after them.
_DERIVED = {"Endpoints", "EndpointSlice", "ControllerRevision"}
_LAST_WAVE = 6
_CALLERS = {"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "APIService"}
_FINALIZERS = {"orphan", "foregroundDeletion"}  # the two of Kubernetes that name no domain
_DEFINITIONS = {"CustomResourceDefinition"}
# What a namespace gets from the cluster, and from the mesh; it would be made again at once.
_CLUSTER_MADE = {
    *(("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")),
    ("ConfigMap", TRUST_CONFIGMAP),
}
_NOT_LISTED = {"Event", "Namespace", "Node", "CSINode", "CSIDriver"}
_UNREMARKABLE = {*_DERIVED, "Lease", "Event"}

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """An object that belongs to a lab: what it is, where, and whose."""

    kind: Kind
    metadata: dict[str, Any]
    lab: str
    deleted_before: bool = False  # whether its deletion had begun before it was met here

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.metadata["name"])

    @property
    def namespace(self) -> str:
        """Its namespace, or ""."""
        return str(self.metadata.get("namespace", ""))

    @property
    def path(self) -> str:
        """The path that the server has it at."""
        return self.kind.path(self.namespace, self.name)

    @property
    def plain(self) -> bool:
        """Whether a person made it, as far as can be told: no other object owns it and no controller wrote it."""
        made = (self.kind.kind, self.name) in _CLUSTER_MADE or self.kind.kind in _UNREMARKABLE
        return not made and not self.metadata.get("ownerReferences")

    def __str__(self) -> str:
        return f"{self.kind.kind} {self.name}"


@dataclass
class Removed:
    """What was removed, by lab, and what else a person should know about it."""

    by_lab: dict[str, dict[str, Found]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, found: Found) -> None:
        """Note an object, once however often it had to be removed."""
        self.by_lab.setdefault(found.lab, {})[f"{found.kind.api_version} {found.path}"] = found

    def plain(self, lab: str = "") -> list[Found]:
        """What persons made of that, in `lab` or in all labs."""
        labs = [lab] if lab else list(self.by_lab)
        return [found for each in labs for found in self.by_lab.get(each, {}).values() if found.plain]

    def words(self, lab: str) -> str:
        """What was removed of a lab, in a few words; "" where nothing was."""
        plain = sorted(self.plain(lab), key=str)
        if len(plain) <= SHORT:
            return ", ".join(str(found) for found in plain)
        counts: dict[str, int] = {}
        for found in plain:
            counts[found.kind.kind] = counts.get(found.kind.kind, 0) + 1
        return (
            f"{len(plain)} objects (" + ", ".join(f"{kind} {count}" for kind, count in counts.items()) + ")"
        )


@dataclass(frozen=True)
class _Survey:
    """What there is: the labs' namespaces with their labs' ids, those being deleted, and all objects of the labs."""

    namespaces: dict[str, str]
    terminating: frozenset[str]
    strangers: tuple[str, ...]  # namespaces named like a lab's that the course did not make
    found: tuple[Found, ...]


def remove(
    api: ApiClient,
    ours: Ownership,
    *,
    keep: str = "",
    inside: str = "",
    progress: Progress = lambda text: None,
    limit: float = LIMIT,
) -> Removed:
    """Remove all that belongs to the labs of `ours`; the namespace `keep` stays, empty (a new one must be made where it
    was already being deleted). With `inside`, only what is in that namespace.

    Pods are not waited for: they are deleted with a grace period of 0, and the kubelet ends their processes with
    SIGTERM and a second later with SIGKILL. What a finalizer holds for longer than its owner may take is freed of it,
    and the notes say so. Errors: LabsError says what is left after `limit` seconds, and why.
    """
    with _pool() as pool:
        return _Removal(api, ours, keep, inside, progress, pool, time.monotonic() + limit).run()


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Threads that are gone when the block is left; an interrupt drops what has not begun."""
    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="labs-removal")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass
class _Removal:
    api: ApiClient
    ours: Ownership
    keep: str
    inside: str
    progress: Progress
    pool: ThreadPoolExecutor
    deadline: float
    removed: Removed = field(default_factory=Removed)
    refusals: dict[str, kube.Refused] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.endings = Endings(self.api, self.progress, self._note_finalizers)

    def run(self) -> Removed:
        self.disarm()
        survey = self.survey()
        doomed: set[str] = set()
        rounds = 0
        while True:
            doomed |= {name for name in survey.namespaces if name != self.keep or name in survey.terminating}
            standing = (doomed & survey.namespaces.keys()) - survey.terminating
            if not survey.found and not standing:
                break
            if rounds and time.monotonic() >= self.deadline:
                raise self._left(survey.found)
            if rounds == ROUNDS_KEPT and any(each.namespace == self.keep for each in survey.found):
                # Something makes things again; nothing can be made in a namespace that goes.
                doomed.add(self.keep)
                standing |= {self.keep} - survey.terminating
            if rounds > 1:
                self._pause(survey.found, rounds)
            self.progress(f"removing {len(survey.found)} objects of your labs")
            self.refusals.clear()
            self.sweep(survey.found, standing)
            self.defuse()
            survey = self.survey()
            rounds += 1
        self.deadline = max(self.deadline, time.monotonic() + CONTROLLER_ENDS)
        self.endings.prepare(doomed)
        self.each(lambda name: self.endings.release(name, self.deadline), doomed)
        if self.keep in survey.namespaces and self.keep not in doomed:
            forget_events(self.api, self.keep)
        for name in survey.strangers:
            self.removed.notes.append(
                f"The namespace {name} is named like one of a lab, but the course did not make it: it was left alone."
            )
        return self.removed

    def _pause(self, found: Sequence[Found], rounds: int) -> None:
        """Ask less and less often what does not want to go."""
        if found:
            self._is_gone(found[0], min(3.0, 0.25 * 2**rounds, max(0.1, self.deadline - time.monotonic())))

    # --- looking

    def survey(self) -> _Survey:
        """All that is the labs', by one list of each kind."""
        served = kinds(self.api)
        places, _ = metadata(self.api, next(kind for kind in served if kind.path() == "/api/v1/namespaces"))
        places = [place for place in places if place["name"].startswith(self.ours.beginning)]
        if self.inside:
            places = [place for place in places if place["name"] == self.inside]
        namespaces = {place["name"]: lab for place in places if (lab := self.ours.lab_of_namespace(place))}
        listed = [kind for kind in served if not (_built_in(kind) and kind.kind in _NOT_LISTED)]
        lists = self.each(lambda kind: self._list(kind, namespaces), listed)
        terminating = frozenset(
            place["name"]
            for place in places
            if place["name"] in namespaces and place.get("deletionTimestamp")
        )
        going = set(namespaces) - ({self.keep} - terminating)
        found = []
        for kind, items in zip(listed, lists, strict=True):
            for item in items:
                lab = self.ours.lab_of_object(kind, item, namespaces)
                untouched = item.get("namespace") not in going and (kind.kind, item["name"]) in _CLUSTER_MADE
                if lab and not untouched and self.inside in ("", item.get("namespace")):
                    found.append(Found(kind, item, lab))
        if not self.inside:
            found += self._callers(served, {each.path for each in found})
        strangers = tuple(
            place["name"]
            for place in places
            if place["name"] not in namespaces and self.ours.lab_of(place["name"])
        )
        return _Survey(namespaces, terminating, strangers, tuple(found))

    def _list(self, kind: Kind, namespaces: Iterable[str]) -> list[dict[str, Any]]:
        try:
            items, cut = metadata(self.api, kind, limit=PAGE)
        except kube.Refused as error:
            if error.status != 403 or not kind.namespaced:
                return self._unlisted(kind, error)
            items, cut = [], True
        if not cut:
            return items
        if not kind.namespaced:
            return metadata(self.api, kind)[0]
        found = []
        for namespace in namespaces:
            try:
                found += metadata(self.api, kind, namespace)[0]
            except kube.Refused as error:
                found += self._unlisted(kind, error)
        return found

    def _unlisted(self, kind: Kind, error: kube.Refused) -> list[dict[str, Any]]:
        """Nothing, of a kind that is not served any more or that this user may not see; a kind of the labs' own must
        be listed, or its objects would stay.
        """
        if self.ours.lab_of_group(kind.group) and error.status not in (403, 404, 405):
            self.refusals[kind.path()] = error
        return []

    def _callers(self, served: Iterable[Kind], known: set[str]) -> list[Found]:
        """Webhook configurations and API services, however named, that call nothing but Services of the labs.

        They would stay as calls that nobody answers.
        """
        found = []
        for kind in (kind for kind in served if _built_in(kind) and kind.kind in _CALLERS):
            try:
                items = kube.request(self.api, "GET", kind.path())["items"]
            except kube.Refused:
                continue
            for item in items:
                called = _called(item)
                owners = {self.ours.lab_of(place) for place in called}
                if called and all(owners):
                    each = Found(kind, item["metadata"], max(owners))
                    found += [] if each.path in known else [each]
        return found

    # --- removing

    def sweep(self, found: Sequence[Found], namespaces: Iterable[str]) -> None:
        """Delete once, in the order that keeps things from being made again; then free what finalizers hold."""
        for each in found:
            self.removed.add(each)
        waves: list[list[Found]] = [[] for _ in range(_LAST_WAVE + 1)]
        for each in found:
            waves[_wave(each)].append(each)
        pending: list[Found] = []
        for number, wave in enumerate(waves):
            if number == _LAST_WAVE and wave:
                self.free(pending)  # a definition's own finalizer waits for its objects
                pending = []
            pending += [each for each in self.each(self._delete, wave) if each]
            if number == 0:
                self.each(self._delete_namespace, namespaces)
        self.free(pending)

    def _delete(self, found: Found) -> Found | None:
        """Delete an object; what is still there afterwards is returned as it is now."""
        body: dict[str, Any] = {"propagationPolicy": "Background"}
        body["preconditions"] = {"uid": found.metadata["uid"]}
        if found.kind.kind == "Pod":
            body["gracePeriodSeconds"] = 0
        try:
            answer = kube.request(self.api, "DELETE", found.path, body=body)
        except kube.Refused as error:
            if error.status not in (404, 409):
                self.refusals[found.path] = error
            return None
        held = (answer.get("metadata") or {}).get("deletionTimestamp") if isinstance(answer, dict) else None
        if not held:
            return None
        earlier = bool(found.metadata.get("deletionTimestamp"))
        return Found(found.kind, answer["metadata"], found.lab, earlier)

    def free(self, pending: Sequence[Found]) -> None:
        """Wait for objects whose deletion a finalizer holds up; take off the finalizers that stay."""
        began = time.monotonic()
        for each in pending:
            if self._is_gone(each, began + _patience(each) - time.monotonic()):
                continue
            held = (_now(self.api, each) or {}).get("metadata", {})
            if not held.get("finalizers") or held["uid"] != each.metadata["uid"] or self._in_use(each):
                continue
            # The uid makes it a condition: another object of that name, made since, is not meant.
            patch = {"metadata": {"uid": held["uid"], "finalizers": None}}
            try:
                kube.patch(self.api, each.path, patch)
            except kube.Refused as error:
                if error.status not in (404, 409):
                    self.refusals[each.path] = error
                continue
            self._note_finalizers(str(each), held["finalizers"])

    def _note_finalizers(self, what: str, finalizers: Iterable[str]) -> None:
        self.removed.notes.append(
            f"{what} was being deleted and waited for the finalizer {' and '.join(finalizers)}, which nobody took off: "
            "it was taken off here."
        )

    def _in_use(self, found: Found) -> bool:
        """Whether a definition still has objects: without it, nobody could reach them any more."""
        if found.kind.kind not in _DEFINITIONS:
            return False
        plural, _, group = found.name.partition(".")
        mine = [kind for kind in kinds(self.api) if (kind.plural, kind.group) == (plural, group)]
        return any(self._list(kind, ()) or kind.path() in self.refusals for kind in mine)

    def _is_gone(self, each: Found, patience: float) -> bool:
        if patience <= 0:
            return _now(self.api, each) is None

        def gone(objects: list[Object]) -> kube.Seen:
            there = any(found["metadata"]["uid"] == each.metadata["uid"] for found in objects)
            return kube.Seen(not there, f"{each} is still there")

        target = kube.Target(each.kind.api_version, each.kind.kind, each.name, each.namespace)
        try:
            kube.until(self.api, target, gone, timeout=patience, progress=self.progress)
        except TimedOut:
            return False
        except LabsError:
            return True  # its kind is no longer served
        return True

    def disarm(self) -> None:
        """Delete the labs' webhooks and policies, which could refuse all that follows."""
        if not self.inside:
            hazards = [kind for kind in kinds(self.api) if _built_in(kind) and kind.kind in _HAZARDS]
            found = [
                Found(kind, item, lab)
                for kind, items in zip(
                    hazards, self.each(lambda kind: self._list(kind, ()), hazards), strict=True
                )
                for item in items
                if (lab := self.ours.lab_of_object(kind, item, {}))
            ]
            found += self._callers(hazards, {each.path for each in found})
            if found:
                self.sweep(found, ())
            self.defuse()

    def defuse(self) -> None:
        """Let the labs' definitions convert without a webhook: one that is away makes their objects unreadable."""
        if self.inside:
            return
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        for definition in kube.request(self.api, "GET", path)["items"]:
            spec, name = definition["spec"], definition["metadata"]["name"]
            called = (spec.get("conversion") or {}).get("strategy") == "Webhook"
            if not called or not self.ours.lab_of_group(spec["group"]):
                continue
            patch = {"spec": {"conversion": {"strategy": "None", "webhook": None}}}
            try:
                kube.patch(self.api, f"{path}/{name}", patch)
            except kube.Refused as error:
                self.refusals[f"{path}/{name}"] = error
                continue
            version = next(each["name"] for each in spec["versions"] if each["served"])
            target = kube.Target(f"{spec['group']}/{version}", spec["names"]["kind"])
            # The server follows within a moment; until then lists fail.
            with suppress(TimedOut):
                kube.until(self.api, target, _readable, timeout=PATIENCE_OWN)

    # --- namespaces

    def _delete_namespace(self, name: str) -> None:
        try:
            self.endings.delete(name)
        except kube.Refused as error:
            self.refusals[name] = error

    # --- the rest

    def each(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """The results for all items, some of them at the same time."""
        return list(self.pool.map(function, items))

    def _left(self, found: Sequence[Found]) -> LabsError:
        lines = [f"Of your labs {len(found)} objects are still there: " + ", ".join(map(str, found[:SHORT]))]
        lines += [f"  {error.what}" for error in list(self.refusals.values())[:3]]
        for each in found[:3]:
            writers = [entry["manager"] for entry in each.metadata.get("managedFields") or []]
            if writers and not each.metadata.get("deletionTimestamp"):
                lines.append(f"  {each} is made again and again, last by {writers[-1]}")
        return LabsError("\n".join(lines), fix="end what makes them or holds them, and run it again")


def _now(api: ApiClient, found: Found) -> Object | None:
    """The object as it is now, or None where it or its kind is gone."""
    try:
        answer: Object = kube.request(api, "GET", found.path)
    except kube.Refused as error:
        if error.status == 404:
            return None
        raise
    return answer


def _readable(objects: list[Object]) -> kube.Seen:
    return kube.Seen(True, f"{len(objects)} objects can be read")


def _patience(found: Found) -> float:
    """Seconds that the owners of an object's finalizers have to do their work."""
    if found.kind.group == quorum.GROUP:
        return PATIENCE_QUORUM
    domains = {name.partition("/")[0] for name in found.metadata.get("finalizers") or []}
    own = all(domain in _FINALIZERS or domain.endswith(("k8s.io", "kubernetes.io")) for domain in domains)
    if own and found.kind.kind not in _DEFINITIONS:
        return PATIENCE_OWN
    return 0.0 if found.deleted_before and not own else PATIENCE


def _built_in(kind: Kind) -> bool:
    return "." not in kind.group or kind.group.endswith(".k8s.io")


def _wave(found: Found) -> int:
    if found.kind.group == quorum.GROUP:
        return (
            0  # or its operator makes again what goes next; it then removes what lies outside the namespace
        )
    kind = found.kind.kind
    order = (_HAZARDS, _PERMISSIONS, _MAKERS, {"Pod"})
    for number, wave in enumerate(order):
        if kind in wave:
            return number
    return _LAST_WAVE if kind in _DEFINITIONS else 5 if kind in _DERIVED else 4


def _called(item: Object) -> set[str]:
    """The namespaces of the Services that a webhook configuration or an API service calls; empty if any call goes
    elsewhere.
    """
    if "webhooks" in item:
        services = [(hook.get("clientConfig") or {}).get("service") for hook in item["webhooks"] or []]
    else:
        services = [(item.get("spec") or {}).get("service")]
    if not services or not all(services):
        return set()
    return {service["namespace"] for service in services if service}
