"""A function of the notebook in the cluster: `lab.deploy`, and what it left there.

The only such path, and the same on every back end: the function's source goes into a ConfigMap, and a Pod of the course
image runs a small host program with it (labsupport/operators/README.md). A wait ends as soon as the new Pod works and
no old one is left, or as soon as the Pod has said why it cannot work.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from labsupport import kube, paths
from labsupport.course import serving
from labsupport.course.source import Gathered, Origin, Unportable, gather, name_in
from labsupport.course.verdict import with_code
from labsupport.course.views import Note
from labsupport.course.worlds.world import World
from labsupport.draw import theme
from labsupport.draw.theme import escape
from labsupport.errors import LabsError
from labsupport.kube.objects import Object
from labsupport.operators.learner import MARK, Failure
from labsupport.patience import patient

HOSTS = paths.CLUSTERS / "manifests" / "hosts"
DEPLOYED = "labs.example/deployed"  # label: the name that was given to lab.deploy
SOURCE = "labs.example/source"  # label: the digest of what was deployed under that name
TIMEOUT = patient(45.0)  # seconds until a host is ready; it takes about 2
LINES = 2000  # of a log that are looked through
LARGEST = 900_000  # bytes of source: a ConfigMap holds 1 MiB
_SETTING = re.compile(r"\{setting:(?P<key>[a-z_]+)(=(?P<default>[^{}]*))?\}")
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")


@dataclass(frozen=True)
class Deployed:
    """What `lab.deploy` put into the lab's namespace under `name`, and whether it works. Read anew at each call.

    `problem` says why it does not work, empty if it does; `digest` changes with the function and its settings.
    """

    world: World
    name: str
    host: str
    digest: str = ""
    problem: str = ""
    seconds: float = 0.0

    def __bool__(self) -> bool:
        """True if it works."""
        return not self.problem

    def logs(self, lines: int = 40) -> str:
        """The last lines that the host and the function printed, records left out."""
        texts = [line for line in self._lines() if _failure(line) is None]
        return "\n".join(texts[-lines:])

    def records(self) -> list[dict[str, Any]]:
        """The lines of the log that are JSON objects, in their order: what hosts tell of their work."""
        found = []
        for line in self._lines():
            if (record := _json(line)) is not None:
                found.append(record)
        return found

    def errors(self) -> list[Failure]:
        """What went wrong in the learner's code since it was deployed, oldest first."""
        return [failure for line in self._lines() if (failure := _failure(line)) is not None]

    def pods(self) -> list[Object]:
        """The Pods that run what was deployed; those of an older version that are still leaving are left out."""
        labels = f"{DEPLOYED}={self.name}" + (f",{SOURCE}={self.digest}" if self.digest else "")
        return kube.list_objects(self.world.api, "v1", "Pod", self.world.namespace, labels=labels)

    def stop(self) -> Note:
        """Remove it: all that the host's manifest made, and the ConfigMaps."""
        # The settings may say which object a part of it belongs to.
        documents, parts = _documents(self.world, self.name, self.host, "", self.settings(), lenient=True)
        serving.give_back(self.world, self.name, parts)
        kube.delete(self.world.api, documents, namespace=self.world.namespace)
        gone = [f"{each['kind']} {each['metadata']['name']}" for each in documents]
        gone += _sweep(self.world, self.name, keep="")
        return Note(f"Removed: {', '.join(gone)}.")

    def settings(self) -> Mapping[str, Any]:
        """Those that it was deployed with."""
        label = f"{DEPLOYED}={self.name},{SOURCE}={self.digest}"
        maps = kube.list_objects(self.world.api, "v1", "ConfigMap", self.world.namespace, labels=label)
        return json.loads(maps[0]["data"]["settings.json"]) if maps else {}

    def __str__(self) -> str:
        """The text form."""
        took = f", ready after {self.seconds:.1f} s" if self.seconds else ""
        head = f"{self.name} runs in {self.world.namespace} ({self.host}{took})"
        if self.problem:
            head = f"{self.name} does not run: {self.problem}"
        return "\n".join([head, *(f"  {describe(each)}" for each in self._errors_shown())])

    def __repr__(self) -> str:
        """The text form."""
        return str(self)

    def _repr_html_(self) -> str:
        first, *rest = str(self).split("\n")
        items = "".join(f"<li>{with_code(line.strip())}</li>" for line in rest)
        return (
            f'<div role="status" class="labs-deployed" style="color:{theme.TEXT};font-family:{theme.FONT};'
            f'line-height:1.45;max-width:860px;white-space:pre-wrap">'
            f"<strong>{escape('Runs' if self else 'Does not run')}</strong>: {with_code(first)}"
            + (f"<ul>{items}</ul>" if items else "")
            + "</div>"
        )

    def _errors_shown(self) -> list[Failure]:
        if self.problem or not self.digest:
            return []
        try:
            return self.errors()[-3:]
        except LabsError:
            return []

    def _lines(self) -> list[str]:
        """The lines of all logs of this name: of containers that ended before, then of those that run."""
        lines: list[str] = []
        for pod in sorted(self.pods(), key=lambda each: str(each["metadata"]["creationTimestamp"])):
            statuses = (pod.get("status") or {}).get("containerStatuses") or []
            restarted = any(each.get("restartCount") for each in statuses)
            for previous in ("true", "false") if restarted else ("false",):
                lines += _log(self.world, pod["metadata"]["name"], previous)
        return lines


def describe(failure: Failure) -> str:
    """A failure in one line, with the learner's own line."""
    text = f"{failure.kind}: {failure.message}" if failure.message else failure.kind
    if failure.line:
        text += f", {Origin(failure.cell, failure.line, failure.text)}"
    return text + (f", for {failure.input}" if failure.input else "")


def deploy(
    world: World,
    function: Any,
    names: Mapping[str, Any],
    *,
    host: str,
    name: str = "",
    settings: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Deployed:
    """Run `function` in the lab's namespace by `host`, in place of what was there under that name. A list of functions
    travels whole; its first one gives the name.

    What the learner can mend is told by the result: a function that cannot leave the notebook, a refusal of the API,
    cells that fail in the Pod. Errors: LabsError for a host that does not exist or lacks a setting; Unreachable.
    """
    started = time.monotonic()
    function, *others = function if isinstance(function, list | tuple) and function else [function]
    given = str(name or getattr(function, "__name__", "function"))
    name = given.lower().replace("_", "-").strip("<>")
    if not _NAME.fullmatch(name):
        return Deployed(
            world, given, host, problem="its name cannot be the name of an object; give one with `name=`."
        )
    try:
        gathered = gather(function, names, [name_in(each, names) for each in others])
    except Unportable as error:
        return Deployed(world, name, host, problem=f"{error.what} What helps: {error.fix}.")
    if len(gathered.text) > LARGEST:
        return Deployed(
            world,
            name,
            host,
            problem=f"it and what it uses are {len(gathered.text) >> 10} kB of text, too much to send.",
        )
    settings = dict(settings or {})
    identity = serving.identity(world, name) if serving.needed(_manifest(host)) else serving.NOBODY
    digest = _digest(gathered, settings, host, identity)
    documents, parts = _documents(world, name, host, digest, settings, identity)
    try:
        kube.apply(
            world.api,
            [_config_map(world, name, digest, gathered, settings), *documents],
            namespace=world.namespace,
        )
        services = [each["metadata"]["name"] for each in documents if each["kind"] == "Service"]
        problem = _await(world, name, digest, services, progress)
        if not problem:
            serving.take(world, name, parts)
    except kube.Refused as refused:
        problem = f"the API server refused it: {refused.what}"
    _sweep(world, name, keep=digest)
    return Deployed(world, name, host, digest, problem, round(time.monotonic() - started, 2))


def find(world: World, name: str) -> Deployed | None:
    """What was deployed under `name`, as it is now; None if there is nothing."""
    labels = f"{DEPLOYED}={name}"
    deployments = kube.list_objects(world.api, "apps/v1", "Deployment", world.namespace, labels=labels)
    if not deployments:
        return None
    found = deployments[0]["spec"]["template"]["metadata"]
    digest = found["labels"].get(SOURCE, "")
    host = deployments[0]["metadata"]["annotations"].get("labs.example/host", "")
    pods = kube.list_objects(world.api, "v1", "Pod", world.namespace, labels=labels)
    seen = _condition(digest)(pods)
    return Deployed(world, name, host, digest, "" if seen.done else seen.text)


def _digest(gathered: Gathered, settings: Mapping[str, Any], host: str, identity: serving.Identity) -> str:
    told = json.dumps(settings, sort_keys=True, default=str)
    parts = [gathered.digest, told, _manifest(host), identity.certificate]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:10]


def _manifest(host: str) -> str:
    file = HOSTS / f"{host}.yaml"
    if not re.fullmatch(r"[a-z-]+", host) or not file.is_file():
        known = ", ".join(sorted(each.stem for each in HOSTS.glob("*.yaml")))
        raise LabsError(f"There is no host {host!r}.", fix=f"one of: {known}")
    return file.read_text(encoding="utf-8")


def _documents(
    world: World,
    name: str,
    host: str,
    digest: str,
    settings: Mapping[str, Any],
    identity: serving.Identity = serving.NOBODY,
    *,
    lenient: bool = False,
) -> tuple[list[Object], list[Object]]:
    """The host's objects with everything filled in, and its parts of other objects (serving.py).

    `lenient`: settings without a value do not matter.
    """

    def setting(match: re.Match[str]) -> str:
        value = settings.get(match["key"], match["default"])
        if value is None:
            if lenient:
                return "x"
            raise LabsError(
                f"The host {host} needs the setting `{match['key']}`.", fix=f"{match['key']}=... in the call"
            )
        return value if isinstance(value, str) else json.dumps(value)

    text = world.expand(_SETTING.sub(setting, _manifest(host)))
    text = text.replace("{name}", name).replace("{source}", f"{name}-{digest}")
    everything = kube.objects.parse(identity.fill(text))
    documents = [each for each in everything if not serving.is_part(each)]
    for each in documents:
        metadata = each.setdefault("metadata", {})
        metadata["labels"] = {**(metadata.get("labels") or {}), **_labels(world, name)}
        if each["kind"] == "Deployment":
            metadata["annotations"] = {**(metadata.get("annotations") or {}), "labs.example/host": host}
            pod = each["spec"]["template"].setdefault("metadata", {})
            pod["labels"] = {**(pod.get("labels") or {}), **_labels(world, name), SOURCE: digest}
    return documents, [each for each in everything if serving.is_part(each)]


def _labels(world: World, name: str) -> dict[str, str]:
    return {**world.labels, DEPLOYED: name}


def _config_map(
    world: World, name: str, digest: str, gathered: Gathered, settings: Mapping[str, Any]
) -> Object:
    origins = [[each.cell, each.line, each.text] if each else None for each in gathered.origins]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-{digest}", "labels": {**_labels(world, name), SOURCE: digest}},
        "immutable": True,
        "data": {
            "learner.py": gathered.text,
            "learner.json": json.dumps({"entry": gathered.entry, "origins": origins}),
            "settings.json": json.dumps(settings, default=str),
        },
    }


def _sweep(world: World, name: str, *, keep: str) -> list[str]:
    """Remove the ConfigMaps of earlier versions."""
    maps = kube.list_objects(
        world.api, "v1", "ConfigMap", world.namespace, labels=f"{DEPLOYED}={name},{SOURCE}"
    )
    old = [each for each in maps if each["metadata"]["labels"][SOURCE] != keep]
    kube.delete(
        world.api,
        [{"apiVersion": "v1", "kind": "ConfigMap", **each} for each in old],
        namespace=world.namespace,
    )
    return [f"ConfigMap {each['metadata']['name']}" for each in old]


def _await(
    world: World, name: str, digest: str, services: list[str], progress: Callable[[str], None] | None
) -> str:
    """Wait until the new Pods work, the old ones are gone, and the host's `services` lead to the new ones; returns why
    they do not, or empty.
    """
    target = kube.Target("v1", "Pod", namespace=world.namespace, labels=f"{DEPLOYED}={name}")
    try:
        pods = kube.until(world.api, target, _condition(digest), timeout=TIMEOUT, progress=progress)
        addresses = {pod["status"]["podIP"] for pod in pods if not _over(pod)}
        for service in services:
            slices = kube.Target(
                "discovery.k8s.io/v1",
                "EndpointSlice",
                namespace=world.namespace,
                labels=f"kubernetes.io/service-name={service}",
            )
            kube.until(world.api, slices, _leads_to(addresses), timeout=TIMEOUT, progress=progress)
    except kube.wait.TimedOut as late:
        if late.seen.failed:
            return late.seen.text
        deployment = kube.get(world.api, "apps/v1", "Deployment", name, world.namespace) or {}
        reasons = [
            str(each.get("message"))
            for each in (deployment.get("status") or {}).get("conditions") or []
            if each["type"] == "ReplicaFailure"
        ]
        return "; ".join([late.seen.text, *reasons])
    return ""


def _condition(digest: str) -> Callable[[list[Object]], kube.Seen]:
    """Met when there are Pods of this digest, all ready, and no others; failed when one has told why it ended."""

    def look(pods: list[Object]) -> kube.Seen:
        new = [pod for pod in pods if pod["metadata"]["labels"].get(SOURCE) == digest and not _leaving(pod)]
        for pod in new:
            if reason := _ended(pod):
                return kube.Seen(False, reason, failed=True)
        old = [pod for pod in pods if pod not in new and not _over(pod)]
        if old:
            return kube.Seen(False, f"{len(old)} Pods of an older version are still there")
        if not new:
            return kube.Seen(False, "there is no Pod yet")
        waiting = [pod for pod in new if not kube.ready([{"kind": "Pod", **pod}]).done]
        if waiting:
            return kube.Seen(
                False, f"Pod {waiting[0]['metadata']['name']} is not ready yet: {_state(waiting[0])}"
            )
        return kube.Seen(True, "ready")

    return look


def _leads_to(addresses: set[str]) -> Callable[[list[Object]], kube.Seen]:
    """Met when these are the addresses that a Service's EndpointSlices name as ready."""

    def look(slices: list[Object]) -> kube.Seen:
        endpoints = [endpoint for each in slices for endpoint in each.get("endpoints") or []]
        ready = [each for each in endpoints if (each.get("conditions") or {}).get("ready", True)]
        found = {address for each in ready for address in each["addresses"]}
        return kube.Seen(
            found == addresses, f"its Service leads to {', '.join(sorted(found)) or 'nobody'} yet"
        )

    return look


def _leaving(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _over(pod: Object) -> bool:
    """Whether its containers have ended: the object itself stays for up to a second more."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _ended(pod: Object) -> str:
    """Why a container of this Pod has ended, in the words that it left in its status; empty if none has."""
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        for state in (status.get("state") or {}, status.get("lastState") or {}):
            ended = state.get("terminated")
            if ended and not (status.get("state") or {}).get("running"):
                failure = _failure(ended.get("message", ""))
                if failure is not None:
                    return describe(failure)
                said = ended.get("message") or ended.get("reason", "")
                return f"its container ended with status {ended.get('exitCode')}: {said}".rstrip(": ")
    return ""


def _state(pod: Object) -> str:
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        if waiting := (status.get("state") or {}).get("waiting"):
            return str(waiting.get("message") or waiting.get("reason", ""))
    return str((pod.get("status") or {}).get("phase", ""))


def _log(world: World, pod: str, previous: str) -> list[str]:
    path = f"/api/v1/namespaces/{world.namespace}/pods/{pod}/log"
    try:
        text = kube.request(world.api, "GET", path, query={"tailLines": str(LINES), "previous": previous})
    except kube.Refused:
        return []  # not started yet, or its log is gone with it
    if isinstance(text, dict):  # a log of one line that is JSON, decoded on its way
        return [json.dumps(text)]
    return str(text).splitlines()


def _json(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _failure(line: str) -> Failure | None:
    record = _json(line.strip())
    if record is None or record.pop("labs", "") != MARK:
        return None
    return Failure(**{key: record[key] for key in Failure.__dataclass_fields__ if key in record})
