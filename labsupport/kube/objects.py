"""Objects as dictionaries: read from YAML, applied, read back, listed, deleted.

Which path serves a kind is asked of the API server itself (discovery), once for each group and version.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

import yaml

from labsupport.errors import LabsError
from labsupport.kube.client import APPLY, Refused, request

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

TYPE_META = ("apiVersion", "kind")
Object = dict[str, Any]

CRD_TIMEOUT = 20.0  # seconds for a CRD to be served; a busy machine takes about 2
# Some objects are of use to others in the same list only if they are there first.
_FIRST = {"Namespace": 0, "CustomResourceDefinition": 1}


@dataclass(frozen=True)
class Applied:
    """What the server stored: the coordinates of an object and the version it has now."""

    kind: str
    namespace: str
    name: str
    resource_version: str


@dataclass(frozen=True)
class Resource:
    """How a kind is served: its path segment and whether it lives in namespaces."""

    api_version: str
    plural: str
    namespaced: bool

    def path(self, namespace: str = "", name: str = "") -> str:
        """Path of the collection, or of one object of it."""
        prefix = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        middle = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{prefix}{middle}/{self.plural}" + (f"/{name}" if name else "")


_discovered: WeakKeyDictionary[Any, dict[str, dict[str, Resource]]] = WeakKeyDictionary()


def resource(api: ApiClient, api_version: str, kind: str) -> Resource:
    """How this server serves `kind`. Errors: LabsError if it does not."""
    known = _discovered.setdefault(api, {})
    if kind not in known.get(api_version, {}):
        known[api_version] = _discover(api, api_version)
    try:
        return known[api_version][kind]
    except KeyError:
        raise LabsError(
            f"This cluster serves no kind {kind} in {api_version}.",
            fix="compare apiVersion and kind with `labs kubectl api-resources`",
        ) from None


def _discover(api: ApiClient, api_version: str) -> dict[str, Resource]:
    path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    try:
        answer = request(api, "GET", path)
    except Refused as error:
        if error.status == 404:
            return {}
        raise
    return {
        entry["kind"]: Resource(api_version, entry["name"], entry["namespaced"])
        for entry in answer["resources"]
        if "/" not in entry["name"]  # subresources share their parent's list
    }


def load(path: Path) -> list[Object]:
    """The documents of a YAML file in their order; empty ones are left out. Errors: LabsError names file
    and line.
    """
    try:
        return parse(path.read_text(encoding="utf-8"))
    except LabsError as error:
        raise LabsError(f"{path}: {error.what}") from error


def parse(text: str) -> list[Object]:
    """The documents of a YAML text in their order; a List becomes its items. Errors: LabsError says where."""
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise LabsError(f"This is not YAML: {error}") from error
    objects: list[Object] = []
    for number, document in enumerate(documents, 1):
        if not isinstance(document, dict) or not all(isinstance(document.get(key), str) for key in TYPE_META):
            raise LabsError(f"Document {number} has no apiVersion and kind: it is no Kubernetes object.")
        items = document.get("items") if document["kind"] == "List" else [document]
        objects.extend(items or [])
    return objects


def apply(
    api: ApiClient,
    documents: Iterable[Mapping[str, Any]],
    *,
    field_manager: str = "labs",
    namespace: str = "default",
    force: bool = True,
) -> list[Applied]:
    """Server-side apply (KEP-555) of each document, namespaces and CRDs first; returns what the server
    stored.

    `namespace` is for namespaced documents that name none; `force` takes over fields that others manage. A
    CRD is waited for until it is served, so its objects may follow in the same list.
    Errors: Refused with the server's own message, the object named in front; Unreachable.
    """
    ordered = sorted(documents, key=lambda document: _FIRST.get(document["kind"], 2))
    applied = []
    for document in ordered:
        served = resource(api, document["apiVersion"], document["kind"])
        metadata = document.get("metadata") or {}
        name = metadata.get("name")
        if not name:
            raise LabsError(f"A {document['kind']} has no metadata.name; apply needs one.")
        place = (metadata.get("namespace") or namespace) if served.namespaced else ""
        try:
            stored = request(
                api,
                "PATCH",
                served.path(place, name),
                query={"fieldManager": field_manager, "force": "true" if force else "false"},
                body=document,
                content_type=APPLY,
            )
        except Refused as error:
            raise Refused(
                error.status,
                error.reason,
                f"{document['kind']} {name} was refused: {error.what}",
                error.details,
            ) from error
        if document["kind"] == "CustomResourceDefinition":
            _await_served(api, stored)
        applied.append(Applied(document["kind"], place, name, stored["metadata"]["resourceVersion"]))
    return applied


def _await_served(api: ApiClient, crd: Object) -> None:
    """Wait until every served version of a CRD can be discovered (Established alone comes a moment too
    early).
    """
    from labsupport.kube.wait import Target, condition_is, until

    name, spec = crd["metadata"]["name"], crd["spec"]
    target = Target("apiextensions.k8s.io/v1", "CustomResourceDefinition", name)
    until(api, target, condition_is("Established"), timeout=CRD_TIMEOUT)
    deadline = time.monotonic() + CRD_TIMEOUT
    for version in (entry["name"] for entry in spec["versions"] if entry["served"]):
        api_version = f"{spec['group']}/{version}"
        while spec["names"]["kind"] not in (found := _discover(api, api_version)):
            if time.monotonic() > deadline:
                raise LabsError(
                    f"{name} is established but {api_version} is not served after {CRD_TIMEOUT:.0f} s."
                )
            time.sleep(0.05)  # discovery has no watch
        _discovered.setdefault(api, {})[api_version] = found


def get(api: ApiClient, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
    """One object, or None where there is none of that name."""
    try:
        return cast(Object, request(api, "GET", resource(api, api_version, kind).path(namespace, name)))
    except Refused as error:
        if error.status == 404:
            return None
        raise


def list_objects(
    api: ApiClient, api_version: str, kind: str, namespace: str = "", *, labels: str = "", fields: str = ""
) -> list[Object]:
    """The objects of a kind in `namespace`, or in all; `labels` and `fields` are selectors in the API's own
    syntax.
    """
    query = {key: value for key, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}
    answer = request(api, "GET", resource(api, api_version, kind).path(namespace), query=query)
    # Items of a list carry no type of their own; everything that handles an object later wants it.
    return [{"apiVersion": api_version, "kind": kind, **item} for item in answer["items"]]


def delete(
    api: ApiClient,
    documents: Iterable[Mapping[str, Any]],
    *,
    namespace: str = "default",
    timeout: float = 60.0,
) -> None:
    """Delete each document, last first, dependents before owners, and wait until all are gone (`timeout` in
    seconds).

    What is already gone is no error. Errors: LabsError says what is left and which finalizers hold it.
    """
    from labsupport.kube.wait import Target, gone, until

    leaving: list[Target] = []
    for document in sorted(documents, key=lambda document: -_FIRST.get(document["kind"], 2)):
        try:
            served = resource(api, document["apiVersion"], document["kind"])
        except Refused:
            raise
        except LabsError:
            continue  # a kind that is no longer served has no objects
        metadata = document["metadata"]
        place = (metadata.get("namespace") or namespace) if served.namespaced else ""
        path = served.path(place, metadata["name"])
        try:
            request(api, "DELETE", path, body={"propagationPolicy": "Foreground"})
        except Refused as error:
            if error.status != 404:
                raise
            continue
        leaving.append(Target(document["apiVersion"], document["kind"], metadata["name"], place))
    deadline = time.monotonic() + timeout
    for target in leaving:
        until(api, target, gone, timeout=max(1.0, round(deadline - time.monotonic(), 1)))
