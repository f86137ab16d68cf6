"""The state of a whole cluster, made comparable: all objects of all kinds, without what chance and clocks decide.

What is left out is listed, with the reason for each entry. Everything else counts, so two snapshots are equal only if
the cluster is in the same state.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from labsupport import kube
from labsupport.course.worlds.namespaces import ENDED
from labsupport.kube.kinds import Kind, kinds
from labsupport.kube.objects import Object

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

WORKERS = 4  # requests at the same time
PAUSE = 0.3  # seconds between two looks at a whole cluster, for which there is no watch
APART = (
    0.7  # seconds between two looks that tell rest: a controller pauses less between what it sees and does
)
REST = 10.0  # seconds for a cluster to come to rest
SHOWN = 60  # characters of a value in a difference


@dataclass(frozen=True)
class Allowed:
    """Something that may differ: objects of a kind, or with `field` only that part of them, and why."""

    kind: str
    field: str  # keys from the top, `*` for any one or an item of a list, `**` for any number; "" for the whole object
    reason: str


ALLOWED = (
    Allowed("Event", "", "a record of the past, which expires"),
    Allowed("Lease", "", "renewed every few seconds by whoever holds it"),
    Allowed("IPAddress", "", "one for each cluster IP, named by it; those are drawn by chance"),
    Allowed("*", "metadata resourceVersion", "counts the writes to the whole store"),
    Allowed("*", "metadata uid", "drawn by chance"),
    Allowed("*", "metadata ownerReferences * uid", "drawn by chance"),
    Allowed("PersistentVolume", "spec claimRef uid", "drawn by chance"),
    Allowed("PersistentVolume", "spec claimRef resourceVersion", "counts the writes to the whole store"),
    Allowed("*", "metadata creationTimestamp", "a time"),
    Allowed("*", "metadata deletionTimestamp", "a time; that it is set counts, as `beingDeleted`"),
    Allowed("*", "metadata deletionGracePeriodSeconds", "of no meaning beyond the deletion"),
    Allowed("*", "metadata managedFields", "who wrote last, and when; not what it came to"),
    Allowed("*", "metadata generation", "counts edits, not what they came to"),
    Allowed("*", "status ** observedGeneration", "counts edits"),
    Allowed("*", "status ** *Time", "a time"),
    Allowed("*", "status ** *At", "a time"),
    Allowed("*", "** caBundle", "a certificate, made anew each time"),
    Allowed("Namespace", f"metadata annotations {ENDED}*", "the course's own: when namespaces were ended"),
    Allowed("Node", "status", "the machine's report of itself: heartbeats, memory, images"),
    Allowed("CSINode", "", "written with the node's heartbeat"),
    Allowed("Pod", "spec nodeName", "the scheduler's choice among equals"),
    Allowed("Pod", "status hostIP", "of that node"),
    Allowed("Pod", "status hostIPs", "of that node"),
    Allowed("Pod", "status ** containerID", "drawn by chance"),
    Allowed("Pod", "status ** state", "one that crashes is met at any point of its cycle; `ready` counts"),
    Allowed("Pod", "status ** lastState", "likewise"),
    Allowed("Pod", "status ** started", "likewise"),
    Allowed("Pod", "status ** restartCount", "likewise"),
    Allowed(
        "Pod",
        "metadata annotations labs.example/files",
        "the course's own, to make the kubelet look at volumes",
    ),
    Allowed("Pod", "status resources", "what the kubelet read of control groups, written when it next looks"),
    Allowed(
        "ConfigMap",
        "data learner.json",
        "names the notebook's cells that a deployed function was gathered from",
    ),
    Allowed("Service", "spec ports * nodePort", "drawn by chance where the author leaves it open"),
    Allowed("Service", "spec healthCheckNodePort", "drawn by chance"),
    Allowed("CertificateSigningRequest", "", "a record of the past, which is removed after an hour"),
    Allowed("Quorum", "status decided", "ids and identities that members draw by chance"),
    Allowed("Quorum", "status publicKey", "drawn by chance, by all members together"),
    Allowed("Quorum", "status keyEpoch", "counts how often shares were dealt"),
    Allowed("Quorum", "status leader", "whoever asked first for votes"),
    Allowed("Quorum", "status conditions * message", "names the leader"),
    Allowed("EndpointSlice", "endpoints * targetRef name", "a Quorum's leader; addresses count"),
    Allowed("*", "metadata annotations quorum.labs.example/applied", "a digest in which a uid is"),
    Allowed("HorizontalPodAutoscaler", "status", "follows the load of the moment"),
    Allowed("*", "metadata annotations endpoints.kubernetes.io/last-change-trigger-time", "a time"),
    Allowed("EndpointSlice", "endpoints * nodeName", "where its Pod was scheduled"),
    Allowed("Endpoints", "subsets * ** nodeName", "where its Pod was scheduled"),
)
# Values that chance decides, wherever they stand, by the text that takes their place. Names that the server completes
# (`generateName`) and addresses of Pods and Services are replaced likewise.
_CHANCE = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uid>"),
    (re.compile(r"kube-api-access-[a-z0-9]{5}\b"), "kube-api-access-<chance>"),
)
# Label of what belongs to a Quorum, whose value is a uid: hashes of a template that has it are another each time.
_QUORUM_UID = "quorum.labs.example/uid"
_UNORDERED = {"conditions", "endpoints", "addresses", "notReadyAddresses"}


class Key(NamedTuple):
    """Which object: of several with a completed name, `number` tells them apart."""

    api_version: str
    kind: str
    namespace: str
    name: str
    number: int

    def __str__(self) -> str:
        """In words."""
        number = f" (no. {self.number})" if self.number else ""
        return f"{self.kind} {self.name}{number}" + (f" in {self.namespace}" if self.namespace else "")


Snapshot = Mapping[Key, Object]


def take(api: ApiClient) -> Snapshot:
    """The objects of all kinds that the cluster serves, normalised. Errors: Refused, Unreachable."""
    served = [kind for kind in kinds(api) if not _left_out(kind.kind, "")]
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="labs-snapshot") as pool:
        lists = pool.map(lambda kind: _items(api, kind), served)
        objects = [item for items in lists for item in items]
    return normalised(left_by_the_collector(objects))


def left_by_the_collector(objects: list[Object]) -> list[Object]:
    """`objects` without those that have owners and none of them there.

    The garbage collector deletes these, at once or, of a kind that is new to it, up to half a minute later: whether
    they are there still says nothing about anybody else. https://kubernetes.io/docs/concepts/architecture/garbage-collection/
    """
    there = {each["metadata"].get("uid") for each in objects}

    def stays(each: Object) -> bool:
        owners = each["metadata"].get("ownerReferences") or []
        return not owners or any(owner["uid"] in there for owner in owners)

    return [each for each in objects if stays(each)]


def _items(api: ApiClient, kind: Kind) -> list[Object]:
    try:
        items = kube.request(api, "GET", kind.path())["items"] or []
    except kube.Refused as error:
        if error.status in (404, 405):
            return []  # no longer served since it was discovered
        raise
    return [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in items]


def at_rest(api: ApiClient) -> Snapshot:
    """The cluster once looks APART show the same and nothing is about to go, or as it is after REST seconds.

    For a state to compare with later: one taken in the middle of a change would never be met again.
    """
    deadline = time.monotonic() + REST
    now = take(api)
    while time.monotonic() < deadline:
        time.sleep(APART)
        before, now = now, take(api)
        going = any(each.get("beingDeleted") for each in now.values())
        if not going and not difference(before, now):
            break
    return now


def normalised(objects: list[Object]) -> Snapshot:
    """Objects as the server gives them, as a snapshot: what ALLOWED and chance cover is left out or replaced."""
    replace = _replacements(objects)
    found: dict[tuple[str, str, str, str], list[Object]] = {}
    for each in objects:
        if _left_out(each["kind"], ""):
            continue
        metadata = each["metadata"]
        if each["kind"] == "ControllerRevision" and _QUORUM_UID in (metadata.get("labels") or {}):
            # Templates that members had before: the past. What they are to have now is in the StatefulSet.
            continue
        content = _walk(each, each["kind"], "", replace)
        if metadata.get("deletionTimestamp"):
            content["beingDeleted"] = True
        if each["kind"] == "Secret":
            content["data"] = _secret(each)
        name = replace(metadata["name"])
        content["metadata"]["name"] = name
        key = (each["apiVersion"], each["kind"], metadata.get("namespace", ""), name)
        found.setdefault(key, []).append(content)
    return {
        Key(*key, number): content
        for key, contents in found.items()
        for number, content in enumerate(sorted(contents, key=_text))
    }


def difference(before: Snapshot, after: Snapshot) -> list[str]:
    """What differs, in words, one line each; [] where nothing does."""
    lines = [f"gone: {key}" for key in sorted(before.keys() - after.keys())]
    lines += [f"new: {key}" for key in sorted(after.keys() - before.keys())]
    for key in sorted(before.keys() & after.keys()):
        lines += [f"changed: {key}: {change}" for change in _changes(before[key], after[key], "")]
    return lines


def difference_when_settled(api: ApiClient, wanted: Snapshot, timeout: float) -> list[str]:
    """What still differs from `wanted` after the cluster had `timeout` seconds to come to rest; [] as soon as nothing
    does.

    Controllers follow a change a moment later: endpoints, counts in status, the last Pods that end.
    """
    deadline = time.monotonic() + timeout
    while True:
        lines = difference(wanted, take(api))
        if not lines or time.monotonic() >= deadline:
            return lines
        time.sleep(PAUSE)


def _changes(before: Any, after: Any, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            place = f"{path}.{key}" if path else key
            yield from _changes(before.get(key, _ABSENT), after.get(key, _ABSENT), place)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _changes(old, new, f"{path}[{number}]")
    elif before != after:
        yield f"{path} was {_short(before)}, is {_short(after)}"


class _Absent:
    def __repr__(self) -> str:
        return "absent"


_ABSENT = _Absent()


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, _Absent) else json.dumps(value, sort_keys=True)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def _walk(value: Any, kind: str, path: str, replace: _Replace) -> Any:
    if isinstance(value, dict):
        kept = {
            key: _walk(entry, kind, place, replace)
            for key, entry in value.items()
            if not _left_out(kind, place := f"{path} {key}" if path else key)
        }
        # What is empty because something was left out may as well be absent.
        return {key: entry for key, entry in kept.items() if entry not in ({}, [], None) or not value[key]}
    if isinstance(value, list):
        entries = [_walk(entry, kind, f"{path} *", replace) for entry in value]
        return sorted(entries, key=_text) if path.rpartition(" ")[2] in _UNORDERED else entries
    return replace(value) if isinstance(value, str) else value


class _Replace:
    """Puts a fixed text where chance chose one."""

    def __init__(self, exact: Mapping[str, str]) -> None:
        self._exact = exact
        names = sorted(exact, key=len, reverse=True)
        boundary = r"(?<![-.\w])(?:{})(?![-\w])"
        self._pattern = re.compile(boundary.format("|".join(map(re.escape, names)))) if names else None

    def __call__(self, text: str) -> str:
        if self._pattern:
            text = self._pattern.sub(lambda match: self._exact[match[0]], text)
        for pattern, instead in _CHANCE:
            text = pattern.sub(instead, text)
        return text


# Labels of what lab.deploy made (course/deploy.py): its name, and the digest of what was sent. Where a certificate
# is part of it, the digest is another each time, and so is the hash of the template that names it.
_DEPLOYED, _DIGESTS = "labs.example/deployed", ("labs.example/source", "pod-template-hash")


def _certified(objects: list[Object]) -> dict[str, str]:
    """Names and digests of what was deployed with a certificate that is made anew each time."""
    places = {
        (each["metadata"].get("namespace"), each["metadata"]["name"].removesuffix("-certificate"))
        for each in objects
        if each["kind"] == "Secret" and each.get("type") == "kubernetes.io/tls"
    }
    found: dict[str, str] = {}
    for each in objects:
        metadata = each["metadata"]
        labels = metadata.get("labels") or {}
        if (metadata.get("namespace"), labels.get(_DEPLOYED)) not in places:
            continue
        for label in _DIGESTS:
            if digest := labels.get(label):
                found[digest] = "<digest>"
                if not metadata.get("generateName") and metadata["name"].endswith(f"-{digest}"):
                    found[metadata["name"]] = metadata["name"].removesuffix(digest) + "<digest>"
    return found


def _replacements(objects: list[Object]) -> _Replace:
    exact = _certified(objects)
    for each in objects:
        metadata = each["metadata"]
        generated = metadata.get("generateName")
        if generated and metadata["name"].startswith(generated):
            digest = (metadata.get("labels") or {}).get("pod-template-hash", "")
            if digest in exact:
                exact[generated] = generated = generated.replace(digest, "<digest>")
            exact[metadata["name"]] = f"{generated}<chance>"
        if each["kind"] == "ControllerRevision" and _QUORUM_UID in (metadata.get("labels") or {}):
            exact[metadata["name"]] = f"{metadata['name'].rpartition('-')[0]}-<revision>"
            if digest := metadata["labels"].get("controller.kubernetes.io/hash"):
                exact[digest] = "<revision>"
        if each["kind"] == "Pod":
            status = each.get("status") or {}
            addresses = [entry["ip"] for entry in status.get("podIPs") or []]
        elif each["kind"] == "Service":
            addresses = [ip for ip in (each.get("spec") or {}).get("clusterIPs") or [] if ip != "None"]
        else:
            continue
        exact |= dict.fromkeys(addresses, "<address>")
    return _Replace(exact)


def _secret(secret: Object) -> dict[str, str]:
    """A secret's keys with digests of their values: equal or not can be told, what they are cannot. Keys and tokens of
    the known kinds are made anew each time.
    """
    data = secret.get("data") or {}
    derived = _QUORUM_UID in (secret["metadata"].get("labels") or {})  # tokens, from a Quorum's uid
    if derived or secret.get("type") in ("kubernetes.io/tls", "kubernetes.io/service-account-token"):
        return dict.fromkeys(data, "<made anew>")
    return {key: hashlib.sha256(str(value).encode()).hexdigest()[:12] for key, value in data.items()}


@cache
def _left_out(kind: str, path: str) -> bool:
    """Whether ALLOWED has an entry for this part of a kind. Paths are few, however many objects there are."""
    keys = path.split()
    return any(
        entry.kind in ("*", kind) and _matches(entry.field.split(), keys)
        for entry in ALLOWED
        if bool(entry.field) == bool(path)
    )


def _matches(pattern: list[str], keys: list[str]) -> bool:
    if not pattern:
        return not keys
    if pattern[0] == "**":
        return any(_matches(pattern[1:], keys[skipped:]) for skipped in range(len(keys) + 1))
    return bool(keys) and fnmatchcase(keys[0], pattern[0]) and _matches(pattern[1:], keys[1:])


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
