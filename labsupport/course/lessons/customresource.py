"""What checks of custom resources ask the API server: is a definition served, and what becomes of requests.

Requests that would store something are sent as dry runs, which go through everything except the store
(https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.kube.objects import Object

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

CRD = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
SETTLE = 1.5  # seconds for a changed definition to be served; measured: 0.01 to 0.06
PAUSE = 0.02  # seconds between two looks at what cannot be watched
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@dataclass(frozen=True)
class Custom:
    """One version of a custom resource in one namespace of one cluster."""

    api: ApiClient
    group: str
    version: str
    kind: str
    plural: str
    namespace: str

    @property
    def api_version(self) -> str:
        """The `apiVersion` of its objects."""
        return f"{self.group}/{self.version}"

    def path(self, name: str = "", subresource: str = "") -> str:
        """Path of the collection, of an object, or of one of its subresources."""
        parts = [
            "",
            "apis",
            self.group,
            self.version,
            "namespaces",
            self.namespace,
            self.plural,
            name,
            subresource,
        ]
        return "/".join(parts).rstrip("/")

    def body(self, name: str, spec: Mapping[str, Any] | None, **more: Any) -> Object:
        """An object; a `spec` of None leaves it out."""
        found = {"apiVersion": self.api_version, "kind": self.kind, "metadata": {"name": name}, **more}
        return found if spec is None else {**found, "spec": dict(spec)}

    def create(self, name: str, spec: Mapping[str, Any] | None, *, dry: bool = True) -> kube.Answer:
        """What the server answers to a creation. Unknown fields are dropped with a warning, not refused."""
        query = {"fieldValidation": "Warn"} | ({"dryRun": "All"} if dry else {})
        return kube.exchange(self.api, "POST", self.path(), query=query, body=self.body(name, spec))

    def patch(
        self, name: str, change: Mapping[str, Any], subresource: str = "", *, dry: bool = True
    ) -> kube.Answer:
        """What the server answers to a merge patch (RFC 7386) of an object or of a subresource."""
        query = {"dryRun": "All"} if dry else {}
        path = self.path(name, subresource)
        return kube.exchange(
            self.api, "PATCH", path, query=query, body=dict(change), content_type=kube.MERGE_PATCH
        )

    def read(self, name: str, subresource: str = "", *, accept: str = "") -> kube.Answer:
        """What the server answers to a GET."""
        headers = {"Accept": accept} if accept else {}
        return kube.exchange(self.api, "GET", self.path(name, subresource), headers=headers)

    def definition(self) -> Object | None:
        """The CustomResourceDefinition, or None."""
        return kube.get(self.api, *CRD, f"{self.plural}.{self.group}")

    def settle(self) -> None:
        """Wait until the server publishes the schema of the definition as it is now, at most SETTLE seconds.

        A definition has no observedGeneration; its schema in the OpenAPI document changes with what is served.
        """
        definition = self.definition()
        if definition is None:
            return
        versions = {each["name"]: each for each in definition["spec"]["versions"]}
        if self.version not in versions or not versions[self.version]["served"]:
            return
        wanted = properties(versions[self.version].get("schema", {}).get("openAPIV3Schema", {}))
        deadline = time.monotonic() + SETTLE
        while self._published() != wanted and time.monotonic() < deadline:
            time.sleep(PAUSE)

    def _published(self) -> dict[str, Any] | None:
        answer = kube.exchange(self.api, "GET", f"/openapi/v3/apis/{self.api_version}")
        if answer.status != 200:
            return None
        for schema in answer.body["components"]["schemas"].values():
            kinds = schema.get("x-kubernetes-group-version-kind") or []
            if any(each["kind"] == self.kind for each in kinds):
                return properties(schema)
        return None


def properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a kind's schema that is its own: the server adds to apiVersion, kind and metadata."""
    return {
        name: value
        for name, value in (schema.get("properties") or {}).items()
        if name not in ("apiVersion", "kind", "metadata")
    }


def refusal(answer: kube.Answer) -> str:
    """The server's reason for a refusal, in a line."""
    message = answer.body.get("message", "") if isinstance(answer.body, dict) else str(answer.body)
    text = " ".join(str(message).split()) or f"HTTP status {answer.status}"
    return text if len(text) < 240 else text[:240] + "..."


def told(spec: Mapping[str, Any]) -> str:
    """A spec in words for an evidence: `release 2, probe (seconds 3)`."""
    parts = []
    for key, value in spec.items():
        shown = (
            f"({told(value)})"
            if isinstance(value, Mapping)
            else repr(value).strip("'")
            if value != ""
            else "''"
        )
        parts.append(f"{key} {shown}")
    return ", ".join(parts) or "nothing in it"
