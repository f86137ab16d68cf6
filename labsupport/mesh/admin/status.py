"""How the mesh on a cluster is: its control plane, its webhook, its namespaces, and who in them has a proxy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.kube.client import Refused
from labsupport.kube.objects import resource
from labsupport.mesh import names
from labsupport.mesh.admin import gateway, workloads
from labsupport.mesh.admin.workloads import PodState
from labsupport.mesh.inject import registration

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Object = dict[str, Any]
CRD = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")


@dataclass(frozen=True)
class MeshStatus:
    """What can be said of a mesh now. `ready`: a Pod created in a namespace of the mesh gets its proxy and works."""

    installed: bool
    ready: bool
    control_ready: int
    control_wanted: int
    webhook: str  # trusted, untrusted (no caBundle yet), missing
    gateway_api: str  # "v1.6.3 (standard)", "" where there is none
    revision: str  # of the proxies that Pods get now, "" where nobody could be asked
    namespaces: tuple[str, ...]
    pods: tuple[PodState, ...]
    problems: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON form (`labs mesh status --json`)."""
        return {
            "installed": self.installed,
            "ready": self.ready,
            "control": {"ready": self.control_ready, "wanted": self.control_wanted},
            "webhook": self.webhook,
            "gateway_api": self.gateway_api,
            "revision": self.revision,
            "namespaces": list(self.namespaces),
            "pods": [each.as_dict() for each in self.pods],
            "problems": list(self.problems),
        }


def status(api: ApiClient) -> MeshStatus:
    """Look, without changing anything. Errors: Refused, Unreachable."""
    deployment = kube.get(api, "apps/v1", "Deployment", names.CONTROL, names.SYSTEM)
    configuration = kube.get(api, registration.API_VERSION, registration.KIND, names.INJECTOR)
    routes = kube.get(api, *CRD, "httproutes.gateway.networking.k8s.io")
    mesh = mesh_namespaces(api)
    problems = []
    wanted, ready = 0, 0
    if deployment:
        wanted = int(deployment["spec"].get("replicas", 1))
        ready = int((deployment.get("status") or {}).get("readyReplicas", 0))
        if not wanted or ready < wanted:
            problems.append(f"{ready} of {wanted} Pods of the control plane are ready")
    webhook = webhook_state(configuration)
    revision = ""
    if webhook == "trusted" and ready and mesh:
        try:
            revision = revision_now(api, mesh[0])
        except LabsError as error:
            problems.append(f"the webhook does not answer as it should: {error.what}")
    elif deployment and webhook != "trusted":
        problems.append(
            "there is no webhook: Pods get no proxy"
            if webhook == "missing"
            else "the API server does not know the webhook's roots yet: no Pod can be created in the mesh"
        )
    if deployment and routes is None:
        problems.append("the kinds of the Gateway API are missing: there are no routes")
    pods = tuple(workloads.look(api, mesh if configuration else (), revision))
    return MeshStatus(
        installed=deployment is not None,
        ready=deployment is not None and not problems,
        control_ready=ready,
        control_wanted=wanted,
        webhook=webhook,
        gateway_api=_bundle(routes),
        revision=revision,
        namespaces=tuple(mesh),
        pods=pods,
        problems=tuple(problems),
    )


def mesh_namespaces(api: ApiClient) -> list[str]:
    """The namespaces that are in the mesh by their label, those that never are left out."""
    found = kube.list_objects(api, "v1", "Namespace", labels=f"{names.INJECT}=true")
    listed = (each["metadata"]["name"] for each in found if not each["metadata"].get("deletionTimestamp"))
    return sorted(name for name in listed if name != names.SYSTEM and not name.startswith("kube-"))


def webhook_state(configuration: Object | None) -> str:
    """Whether the API server can call the webhook: "trusted", "untrusted", or "missing"."""
    webhooks = (configuration or {}).get("webhooks") or ()
    if not webhooks:
        return "missing"
    return "trusted" if all(each["clientConfig"].get("caBundle") for each in webhooks) else "untrusted"


def revision_now(api: ApiClient, namespace: str) -> str:
    """The revision of the proxy that a Pod created in `namespace` would get now, asked of the webhook by a dry run.

    "" where it would get none. Errors: LabsError where the API server refuses such a Pod, with the reason.
    """
    # As the strictest namespace takes it, since all that is wanted to know is what injection adds.
    context = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    limits = {"cpu": "10m", "memory": "10Mi"}
    container = {
        "name": "asks",
        "image": names.PROXY_IMAGE,
        "securityContext": context,
        "resources": {"requests": limits, "limits": limits},
    }
    pod = {
        "metadata": {"generateName": "mesh-asks-", "annotations": {names.CAPTURE: "env"}},
        "spec": {"containers": [container], "automountServiceAccountToken": False},
    }
    path = resource(api, "v1", "Pod").path(namespace)
    try:
        made = kube.request(api, "POST", path, query={"dryRun": "All"}, body=pod)
    except Refused as error:
        raise LabsError(error.what, fix="labs mesh status") from error
    return str((made["metadata"].get("annotations") or {}).get(names.REVISION, ""))


def _bundle(crd: Object | None) -> str:
    if crd is None:
        return ""
    channel = (crd["metadata"].get("annotations") or {}).get(gateway.CHANNEL, "unknown channel")
    return f"{gateway.version_of(crd) or 'unknown version'} ({channel})"
