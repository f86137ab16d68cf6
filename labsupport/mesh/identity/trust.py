"""ConfigMap mesh-trust: the roots, in every namespace of the mesh, so that a Pod knows the control plane from others.

It is mounted before there is any certificate. What proxies check each other by comes over xDS, seconds sooner than the
kubelet brings a changed ConfigMap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.mesh.names import CONTROL, ROOTS, TRUST_CONFIGMAP

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


def config_map(namespace: str, roots_pem: str) -> dict[str, Any]:
    """The ConfigMap for one namespace."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": TRUST_CONFIGMAP,
            "namespace": namespace,
            "labels": {"labs.example/part-of": "course"},
        },
        "data": {ROOTS: roots_pem},
    }


def ensure(api: ApiClient, namespace: str, roots_pem: str) -> None:
    """Make or change it in `namespace` (server-side apply: nothing happens where it is so already).

    Errors: Refused (404: there is no such namespace; 403: it is being deleted), Unreachable.
    """
    kube.apply(api, [config_map(namespace, roots_pem)], field_manager=CONTROL)


def remove(api: ApiClient, namespace: str) -> None:
    """Delete it from `namespace`; that there is none is no error. Errors: Refused, Unreachable."""
    try:
        kube.request(api, "DELETE", f"/api/v1/namespaces/{namespace}/configmaps/{TRUST_CONFIGMAP}")
    except kube.Refused as error:
        if error.status != 404:
            raise
