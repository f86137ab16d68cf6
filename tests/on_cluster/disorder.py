"""What learners leave behind: ways to bring a lab's world into disorder, some of them chosen by a seeded generator."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from labsupport import kube
from labsupport.course.worlds.world import World, ensure_namespace

ANYTHING = [{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"], "scope": "*"}]


def disturb(world: World, chance: Random, times: int = 4) -> list[str]:
    """Do some of these things, and say which."""
    chosen = chance.sample(WAYS, times)
    # A webhook that refuses everything ends the disorder.
    chosen.sort(key=lambda way: way is dead_webhook)
    for way in chosen:
        way(world)
    return [way.__name__ for way in chosen]


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}


def definition(world: World, plural: str, kind: str, **spec: Any) -> dict[str, Any]:
    """A custom resource definition in the lab's group."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{world.group}"},
        "spec": {
            "group": world.group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
            **spec,
        },
    }


def webhook(name: str, service: dict[str, str], **more: Any) -> dict[str, Any]:
    """A validating webhook that everything must pass, and that nobody answers."""
    call = {
        "name": "all.labs.example",
        "clientConfig": {"service": service},
        "rules": ANYTHING,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail",
        "timeoutSeconds": 2,
        **more,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [call],
    }


def new_objects(world: World) -> None:
    objects = [
        config_map("notes", labels={"mine": "yes"}),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "mine"},
            "spec": {"ports": [{"port": 1}]},
        },
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mine"}, "stringData": {"a": "b"}},
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "leader"},
            "spec": {"holderIdentity": "me"},
        },
    ]
    kube.apply(world.api, objects, namespace=world.namespace)


def deleted_objects(world: World) -> None:
    path = f"/apis/apps/v1/namespaces/{world.namespace}/deployments"
    kube.request(world.api, "DELETE", path)


def altered_namespace(world: World) -> None:
    body = {"metadata": {"labels": {"mine": "yes"}, "annotations": {"mine": "yes"}}}
    kube.patch(world.api, f"/api/v1/namespaces/{world.namespace}", body)


def altered_account(world: World) -> None:
    body = {"metadata": {"labels": {"mine": "yes"}}, "automountServiceAccountToken": False}
    path = f"/api/v1/namespaces/{world.namespace}/serviceaccounts/default"
    kube.patch(world.api, path, body)


def second_namespace(world: World) -> None:
    ensure_namespace(world, world.name("second"))
    held = config_map("held", finalizers=["labs.example/held"])
    kube.apply(world.api, [held], namespace=world.name("second"))


def kinds(world: World) -> None:
    objects = [
        definition(world, "oddities", "Oddity"),
        {"apiVersion": f"{world.group}/v1", "kind": "Oddity", "metadata": {"name": "odd"}},
    ]
    kube.apply(world.api, objects, namespace=world.namespace)
    kube.apply(world.api, objects[1:], namespace="default")  # of a kind of the lab's, so it is the lab's


def cluster_scoped(world: World) -> None:
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    rbac = "rbac.authorization.k8s.io"
    objects = [
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": world.name("x")},
            "rules": [rule],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": world.name("x")},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": world.name("x")},
        },
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": world.name("x")},
            "value": 1,
        },
    ]
    kube.apply(world.api, objects)


def half_deleted_namespace(world: World) -> None:
    held = config_map("held", finalizers=["labs.example/held"])
    kube.apply(world.api, [held], namespace=world.namespace)
    kube.request(world.api, "DELETE", f"/api/v1/namespaces/{world.namespace}")


def dead_webhook(world: World) -> None:
    service = {"name": "nobody", "namespace": world.namespace}
    kube.apply(world.api, [webhook(world.name("dead"), service)])


WAYS: list[Callable[[World], None]] = [
    new_objects,
    deleted_objects,
    altered_namespace,
    altered_account,
    second_namespace,
    kinds,
    cluster_scoped,
    dead_webhook,
]
