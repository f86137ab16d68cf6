"""The kinds that the operator deals with, the API that it does so through, and which verbs each call needs.

`Api` is what tests replace. RBAC is compared with `VERBS` and with what the tests saw (tests/operators/quorum).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from labsupport.operators.quorum_operator import names

Object = dict[str, Any]

# What each call asks of RBAC. Applying what is not there yet is a patch that creates.
VERBS = {
    "get": ("get",),
    "list": ("list",),
    "create": ("create",),
    "apply": ("patch", "create"),
    "patch": ("patch",),
    "replace": ("update",),
    "delete": ("delete",),
}


@dataclass(frozen=True)
class Kind:
    """How a kind is served."""

    api_version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group, "" for the core group."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str = "", name: str = "", sub: str = "") -> str:
        """Path of the collection, of one object, or of a subresource of it."""
        prefix = f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"
        middle = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{prefix}{middle}/{self.plural}" + (f"/{name}" if name else "") + (f"/{sub}" if sub else "")


QUORUMS = Kind(names.API_VERSION, "quorums", "Quorum")
BACKUPS = Kind(names.API_VERSION, "quorumbackups", "QuorumBackup")
RESTORES = Kind(names.API_VERSION, "quorumrestores", "QuorumRestore")
STATEFULSETS = Kind("apps/v1", "statefulsets", "StatefulSet")
PODS = Kind("v1", "pods", "Pod")
CLAIMS = Kind("v1", "persistentvolumeclaims", "PersistentVolumeClaim")
SERVICES = Kind("v1", "services", "Service")
CONFIGMAPS = Kind("v1", "configmaps", "ConfigMap")
ACCOUNTS = Kind("v1", "serviceaccounts", "ServiceAccount")
SECRETS = Kind("v1", "secrets", "Secret")
EVENTS = Kind("v1", "events", "Event")
BUDGETS = Kind("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget")
SLICES = Kind("discovery.k8s.io/v1", "endpointslices", "EndpointSlice")
JOBS = Kind("batch/v1", "jobs", "Job")
CRONJOBS = Kind("batch/v1", "cronjobs", "CronJob")
BINDINGS = Kind("rbac.authorization.k8s.io/v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
REQUESTS = Kind(
    "certificates.k8s.io/v1", "certificatesigningrequests", "CertificateSigningRequest", namespaced=False
)
DEFINITIONS = Kind(
    "apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
BY_NAME = {
    each.kind: each
    for each in (STATEFULSETS, SERVICES, CONFIGMAPS, ACCOUNTS, SECRETS, BUDGETS, SLICES, CRONJOBS, BINDINGS)
}


class Conflict(Exception):
    """Somebody else has changed, made or removed the object since it was read; looking again is the answer."""


class Api(Protocol):
    """The Kubernetes API, as far as the operator goes."""

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """One object, None where there is none."""

    def list(self, kind: Kind, namespace: str, labels: str = "") -> list[Object]:
        """The objects of a kind by a label selector; of all namespaces where `namespace` is ""."""

    def create(self, kind: Kind, namespace: str, content: Mapping[str, Any]) -> bool:
        """Make an object; False where one of its name is there already, whosever it is."""

    def apply(self, kind: Kind, namespace: str, content: Mapping[str, Any]) -> None:
        """Make an object, or make it as it should be, by server-side apply."""

    def patch(self, kind: Kind, namespace: str, name: str, change: Mapping[str, Any], sub: str = "") -> None:
        """A JSON merge patch of an object or a subresource of it."""

    def replace(self, kind: Kind, name: str, content: Mapping[str, Any], sub: str) -> None:
        """Write a subresource of an object without a namespace. Errors: Conflict."""

    def delete(self, kind: Kind, namespace: str, name: str, uid: str = "") -> None:
        """Delete an object, if it is the one with `uid`; nothing happens where it is gone."""
