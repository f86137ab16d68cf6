"""Objects applied and deleted, in an order in which they can be, and waited for where others depend on it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from labsupport.errors import LabsError
from labsupport.kube.client import APPLY, Refused, request
from labsupport.kube.objects import Applied, Object, discover, resource
from labsupport.kube.wait import Target, condition_is, gone, until
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

CRD_TIMEOUT = patient(20.0)  # seconds for a CRD to be served; a busy machine takes about 2
# Some objects are of use to others in the same list only if they are there first.
_FIRST = {"Namespace": 0, "CustomResourceDefinition": 1}


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
    name, spec = crd["metadata"]["name"], crd["spec"]
    target = Target("apiextensions.k8s.io/v1", "CustomResourceDefinition", name)
    until(api, target, condition_is("Established"), timeout=CRD_TIMEOUT)
    deadline = time.monotonic() + CRD_TIMEOUT
    for version in (entry["name"] for entry in spec["versions"] if entry["served"]):
        api_version = f"{spec['group']}/{version}"
        while spec["names"]["kind"] not in discover(api, api_version):
            if time.monotonic() > deadline:
                raise LabsError(
                    f"{name} is established but {api_version} is not served after {CRD_TIMEOUT:.0f} s."
                )
            time.sleep(0.05)  # discovery has no watch


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
