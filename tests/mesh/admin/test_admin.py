"""Install and uninstall against a recorded API: what is done, in which order, and what is waited for."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.kube.objects import Applied, Resource
from labsupport.mesh import names
from labsupport.mesh.admin import gateway, install, status, uninstall, workloads
from labsupport.mesh.inject import registration

Object = dict[str, Any]
API: Any = object()
WEBHOOK: Object = {
    "apiVersion": registration.API_VERSION,
    "kind": registration.KIND,
    "metadata": {"name": names.INJECTOR},
    "webhooks": [{"name": "inject", "clientConfig": {}}],
}
DEPLOYMENT: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": names.CONTROL, "namespace": names.SYSTEM, "generation": 1},
    "spec": {"replicas": 1},
    "status": {"readyReplicas": 1},
}
CRD: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "peerauthentications.mesh.labs.example"},
}
ROUTES: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": "httproutes.gateway.networking.k8s.io",
        "annotations": {gateway.VERSION: "v1.6.3", gateway.CHANNEL: "standard"},
    },
}
DOCUMENTS = [WEBHOOK, DEPLOYMENT, CRD]


class Recorded:
    """Stands for the API: `objects` by kind and name, `done` as a list of what was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.lists: dict[str, list[Object]] = {}
        self.done: list[str] = []
        for name in ("apply", "delete", "get", "list_objects", "until", "until_ready", "patch", "request"):
            monkeypatch.setattr(kube, name, getattr(self, name))
        served = {plural: Resource("g/v1", plural, True) for plural in gateway.NEEDED}
        monkeypatch.setattr(install, "discover", lambda api, version: served)
        for module in (status, workloads):
            monkeypatch.setattr(
                module, "resource", lambda api, version, kind: Resource(version, kind.lower() + "s", True)
            )

    def apply(self, api: Any, documents: Any, **options: Any) -> list[Applied]:
        self.done += [f"apply {each['kind']} {each['metadata']['name']}" for each in documents]
        return [Applied(each["kind"], "", each["metadata"]["name"], "1") for each in documents]

    def delete(self, api: Any, documents: Any, **options: Any) -> None:
        self.done += [f"delete {each['kind']} {each['metadata']['name']}" for each in documents]

    def get(self, api: Any, version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        return self.objects.get((kind, name))

    def list_objects(self, api: Any, version: str, kind: str, *rest: Any, **selectors: Any) -> list[Object]:
        return [{"apiVersion": version, "kind": kind, **each} for each in self.lists.get(kind, [])]

    def until(self, api: Any, target: Any, condition: Any, **options: Any) -> None:
        self.done.append(f"until {target.kind} {target.name}")

    def until_ready(self, api: Any, targets: Any, **options: Any) -> None:
        self.done += [f"ready {each.kind} {each.name}" for each in targets]

    def patch(self, api: Any, path: str, change: Object) -> None:
        self.done.append(f"patch {path}")

    def request(self, api: Any, method: str, path: str, **options: Any) -> Object:
        self.done.append(f"{method} {path} dryRun={options['query']['dryRun']}")
        return {"metadata": {"annotations": {names.REVISION: "new"}}}


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    return Recorded(monkeypatch)


def test_the_webhook_is_applied_last_and_its_roots_are_waited_for(recorded: Recorded) -> None:
    done = install.install(API, DOCUMENTS, [ROUTES])
    assert recorded.done == [
        "apply CustomResourceDefinition httproutes.gateway.networking.k8s.io",
        "apply Deployment mesh-control",
        "apply CustomResourceDefinition peerauthentications.mesh.labs.example",
        "apply MutatingWebhookConfiguration mesh-injector",
        "ready Deployment mesh-control",
        "until MutatingWebhookConfiguration mesh-injector",
    ]
    assert done.gateway_api == "Gateway API v1.6.3"


def test_a_gateway_api_without_what_is_needed_is_told(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "discover", lambda api, version: {})
    with pytest.raises(LabsError, match="has no httproutes, grpcroutes"):
        install.install(API, DOCUMENTS, [ROUTES])
    assert "apply Deployment mesh-control" not in recorded.done


def test_an_upgrade_needs_a_mesh(recorded: Recorded) -> None:
    with pytest.raises(LabsError, match="no mesh"):
        install.upgrade(API, DOCUMENTS, [ROUTES])


def a_mesh(recorded: Recorded) -> None:
    """One namespace, in it a Deployment's Pod with an older proxy and a bare Pod without one."""
    recorded.objects[("Deployment", names.CONTROL)] = DEPLOYMENT
    trusted = {**WEBHOOK, "webhooks": [{"name": "inject", "clientConfig": {"caBundle": "eA=="}}]}
    recorded.objects[(registration.KIND, names.INJECTOR)] = trusted
    recorded.objects[("CustomResourceDefinition", ROUTES["metadata"]["name"])] = ROUTES
    recorded.lists["Namespace"] = [{"metadata": {"name": "shop"}}, {"metadata": {"name": names.SYSTEM}}]
    old: Object = {
        "metadata": {
            "name": "web-1-a",
            "namespace": "shop",
            "labels": {names.PROXY: "redirect"},
            "annotations": {names.REVISION: "old"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-1", "controller": True}],
        },
        "spec": {"containers": [], "initContainers": [{"name": names.PROXY_CONTAINER}]},
    }
    bare = {"metadata": {"name": "bare", "namespace": "shop"}, "spec": {"containers": []}}
    recorded.lists["Pod"] = [old, bare]
    owner = [{"kind": "Deployment", "name": "web"}]
    recorded.lists["ReplicaSet"] = [
        {"metadata": {"name": "web-1", "namespace": "shop", "ownerReferences": owner}}
    ]


def test_an_upgrade_makes_the_control_plane_anew_and_says_whose_proxies_are_old(recorded: Recorded) -> None:
    a_mesh(recorded)
    done = install.upgrade(API, DOCUMENTS, [ROUTES])
    assert "patch /apis/apps/v1/namespaces/labs-system/deployments/mesh-control" in recorded.done
    assert "POST /api/v1/namespaces/shop/pods dryRun=All" in recorded.done
    assert [str(each) for each in done.open_] == ["Deployment web in shop", "Pod bare in shop"]
    assert done.restarted == ()


def test_an_upgrade_restarts_what_rolls_by_itself_where_it_is_asked_to(recorded: Recorded) -> None:
    a_mesh(recorded)
    done = install.upgrade(API, DOCUMENTS, [ROUTES], restart=True)
    assert recorded.done[-2:] == [
        "patch /apis/apps/v1/namespaces/shop/deployments/web",
        "ready Deployment web",
    ]
    assert [each.name for each in done.restarted] == ["web"]
    assert [each.name for each in done.open_] == ["bare"]


def test_status_says_what_is_there(recorded: Recorded) -> None:
    a_mesh(recorded)
    found = status.status(API)
    assert found.ready
    assert (found.webhook, found.gateway_api) == ("trusted", "v1.6.3 (standard)")
    assert found.namespaces == ("shop",)
    assert [(each.name, each.state) for each in found.pods] == [("bare", "missing"), ("web-1-a", "older")]
    assert found.as_dict()["control"] == {"ready": 1, "wanted": 1}


def test_status_of_a_cluster_without_a_mesh(recorded: Recorded) -> None:
    found = status.status(API)
    assert not found.installed
    assert not found.ready
    assert found.problems == ()


def test_status_tells_a_webhook_that_cannot_be_called(recorded: Recorded) -> None:
    a_mesh(recorded)
    recorded.objects[(registration.KIND, names.INJECTOR)] = WEBHOOK
    found = status.status(API)
    assert not found.ready
    assert "no Pod can be created" in found.problems[0]


@pytest.mark.parametrize(("wanted", "ready"), [(0, 0), (1, 0), (2, 1)])
def test_status_tells_a_control_plane_that_is_away(recorded: Recorded, wanted: int, ready: int) -> None:
    a_mesh(recorded)
    recorded.objects[("Deployment", names.CONTROL)] = {
        **DEPLOYMENT,
        "spec": {"replicas": wanted},
        "status": {"readyReplicas": ready},
    }
    found = status.status(API)
    assert not found.ready
    assert found.problems == (f"{ready} of {wanted} Pods of the control plane are ready",)


def test_everything_goes_and_the_webhook_first(recorded: Recorded) -> None:
    a_mesh(recorded)
    recorded.lists["ConfigMap"] = [{"metadata": {"name": names.TRUST_CONFIGMAP, "namespace": "shop"}}]
    recorded.lists["CustomResourceDefinition"] = [{"metadata": {"name": "httproutes", "uid": "1"}}]
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": names.SYSTEM}}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": names.CONTROL},
    }
    done = uninstall.uninstall(API, [namespace, role, *DOCUMENTS])
    assert recorded.done == [
        "delete MutatingWebhookConfiguration mesh-injector",
        "delete Deployment mesh-control",
        "delete ConfigMap mesh-trust",
        "delete Secret mesh-ca",
        "delete Lease mesh-control",
        "delete ClusterRole mesh-control",
        "delete CustomResourceDefinition peerauthentications.mesh.labs.example",
        "delete CustomResourceDefinition httproutes",
    ]
    assert done.existed
    assert done.gateway_api
    assert done.labelled == ("shop",)
    assert [str(each) for each in done.to_restart] == ["Deployment web in shop"]


def test_who_still_has_a_proxy_is_restarted_where_that_is_asked_for(recorded: Recorded) -> None:
    a_mesh(recorded)
    restarted: list[str] = []
    done = uninstall.uninstall(API, DOCUMENTS, restart=lambda owners: restarted.extend(map(str, owners)))
    assert restarted == ["Deployment web in shop"]
    assert done.to_restart == ()
