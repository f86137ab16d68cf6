"""Objects as dictionaries: read from YAML, read back from the server, listed.

Which path serves a kind is asked of the API server itself (discovery), once for each group and version.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

import yaml

from labsupport.errors import LabsError
from labsupport.kube.client import Refused, request

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

TYPE_META = ("apiVersion", "kind")
Object = dict[str, Any]


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
        discover(api, api_version)
    try:
        return known.get(api_version, {})[kind]
    except KeyError:
        raise LabsError(
            f"This cluster serves no kind {kind} in {api_version}.",
            fix="compare apiVersion and kind with `labs kubectl api-resources`",
        ) from None


def discover(api: ApiClient, api_version: str) -> dict[str, Resource]:
    """Ask the server which kinds it serves in a group and version, and remember the answer; {} where it serves none."""
    path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    try:
        answer = request(api, "GET", path)
    except Refused as error:
        if error.status == 404:
            return {}
        raise
    kinds = {
        entry["kind"]: Resource(api_version, entry["name"], entry["namespaced"])
        for entry in answer["resources"]
        if "/" not in entry["name"]  # subresources share their parent's list
    }
    _discovered.setdefault(api, {})[api_version] = kinds
    return kinds


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
