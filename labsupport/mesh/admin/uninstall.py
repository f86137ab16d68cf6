"""Take the mesh off a cluster, in an order in which nothing is in the way of anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.mesh import names
from labsupport.mesh.admin import gateway, workloads
from labsupport.mesh.admin.status import CRD, mesh_namespaces
from labsupport.mesh.admin.workloads import Owner
from labsupport.mesh.edge import workload
from labsupport.mesh.inject import registration

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Object = dict[str, Any]
AUTHORITY_SECRET = "mesh-ca"  # noqa: S105 (a name)
# What the Gateway API's bundle consists of.
GATEWAY_KINDS = (
    CRD,
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
)


@dataclass(frozen=True)
class Uninstalled:
    """What is left to do: namespaces that still have the label, and workloads whose Pods still have a proxy.

    Such a Pod answers from its last configuration until its certificate runs out.
    """

    existed: bool
    gateway_api: bool  # whether the Gateway API's kinds were removed
    labelled: tuple[str, ...]
    restarted: tuple[Owner, ...]
    to_restart: tuple[Owner, ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "existed": self.existed,
            "gateway_api_removed": self.gateway_api,
            "labelled_namespaces": list(self.labelled),
            "restarted": [each._asdict() for each in self.restarted],
            "to_restart": [each._asdict() for each in self.to_restart],
        }


def uninstall(
    api: ApiClient,
    documents: Sequence[Object],
    *,
    restart: Callable[[list[Owner]], None] | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Uninstalled:
    """Remove what `documents` (the mesh's manifests) name, what the control plane made, and the Gateway API's kinds if
    this course brought them; objects of removed kinds go with them. Namespaces and their labels stay.

    `restart(owners)` is called for workloads whose Pods still have a proxy. May be called again. Errors: LabsError.
    """
    existed = kube.get(api, "apps/v1", "Deployment", names.CONTROL, names.SYSTEM) is not None
    ours = [each for each in documents if each["kind"] != "Namespace"]
    first = [each for each in ours if each["kind"] == registration.KIND]
    kinds = [each for each in ours if each["kind"] == CRD[1]]
    rest = [each for each in ours if each not in first and each not in kinds]
    # 1. Nothing asks the control plane any more, so that its end keeps no Pod from being created.
    progress("the webhook")
    kube.delete(api, first)
    # 2. The control plane: while it runs, it would make again what follows.
    progress("the control plane")
    kube.delete(api, [each for each in rest if each["kind"] == "Deployment"])
    # 3. What it made, and what it was allowed to.
    progress("the proxies of Gateways")
    of_gateways = f"labs.example/part-of=course,{names.GATEWAY_LABEL}"
    for version, kind in reversed(workload.KINDS):
        kube.delete(api, [_document(e) for e in kube.list_objects(api, version, kind, labels=of_gateways)])
    progress("its roots in every namespace, its key and its rights")
    trust = kube.list_objects(api, "v1", "ConfigMap", fields=f"metadata.name={names.TRUST_CONFIGMAP}")
    kube.delete(api, [_document(each) for each in trust])
    secret = {"name": AUTHORITY_SECRET, "namespace": names.SYSTEM}
    lease = {"name": names.CONTROL, "namespace": names.SYSTEM}
    made = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": secret},
        {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": lease},
    ]
    kube.delete(api, [*made, *(each for each in rest if each["kind"] != "Deployment")])
    # 4. Kinds, with all objects of them.
    progress("its kinds")
    brought = [
        _document(each)
        for api_version, kind in GATEWAY_KINDS
        for each in kube.list_objects(
            api, api_version, kind, labels=",".join(f"{key}={value}" for key, value in gateway.OURS.items())
        )
    ]
    kube.delete(api, [*kinds, *brought])
    left = [each for each in workloads.look(api, (), "") if each.state == workloads.LEFTOVER]
    rolled, others = workloads.owners_to_restart(left)
    if restart is not None:
        restart(rolled)
    return Uninstalled(
        existed=existed,
        gateway_api=bool(brought),
        labelled=tuple(mesh_namespaces(api)),
        restarted=tuple(rolled) if restart is not None else (),
        to_restart=tuple(others) if restart is not None else tuple(rolled + others),
    )


def _document(found: Object) -> Object:
    metadata = found["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace") if key in metadata}
    return {"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": kept}
