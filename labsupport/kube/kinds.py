"""All kinds that a server serves, and what lies in each of them, in few and small requests.

Aggregated discovery (KEP-3352) answers for all groups at once; lists of PartialObjectMetadata carry no specs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labsupport.errors import LabsError
from labsupport.kube.client import request
from labsupport.kube.objects import Object, Resource

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_METADATA = "application/json;g=meta.k8s.io;v=v1;as=PartialObjectMetadataList"


@dataclass(frozen=True)
class Kind(Resource):
    """A kind as it is served in the group's preferred version that has it."""

    kind: str
    verbs: frozenset[str]

    @property
    def group(self) -> str:
        """The API group, "" for the core group."""
        return self.api_version.rpartition("/")[0]


def kinds(api: ApiClient) -> list[Kind]:
    """Every kind that can be listed and deleted, each once, in the server's order.

    A group whose own server is away (an aggregated API) has none. Errors: LabsError where the server is older than
    Kubernetes 1.30, Refused, Unreachable.
    """
    found: dict[tuple[str, str], Kind] = {}
    for root in ("/api", "/apis"):
        answer = request(api, "GET", root, accept=_DISCOVERY)
        if answer.get("kind") != "APIGroupDiscoveryList":
            raise LabsError("This API server has no aggregated discovery: it is older than Kubernetes 1.30.")
        for group in answer["items"]:
            name = group["metadata"].get("name", "")
            for version in group["versions"]:
                api_version = f"{name}/{version['version']}" if name else version["version"]
                for entry in version.get("resources") or []:
                    verbs = frozenset(entry["verbs"])
                    if {"list", "delete"} <= verbs:
                        kind = _kind(api_version, entry, verbs)
                        found.setdefault((name, kind.plural), kind)
    return list(found.values())


def _kind(api_version: str, entry: dict[str, Any], verbs: frozenset[str]) -> Kind:
    namespaced = entry["scope"] == "Namespaced"
    return Kind(api_version, entry["resource"], namespaced, entry["responseKind"]["kind"], verbs)


def metadata(
    api: ApiClient, kind: Kind, namespace: str = "", *, labels: str = "", limit: int = 0
) -> tuple[list[Object], bool]:
    """The metadata of the objects of a kind, in `namespace` or in all, and whether `limit` cut the list.

    Errors: Refused, Unreachable.
    """
    query = {"labelSelector": labels} if labels else {}
    if limit:
        query["limit"] = str(limit)
    answer = request(api, "GET", kind.path(namespace), query=query, accept=_METADATA)
    cut = bool((answer.get("metadata") or {}).get("continue"))
    return [item["metadata"] for item in answer.get("items") or []], cut
