"""The API server in memory answers as the real one does, as far as the exercises of lab O2 rely on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client

from labsupport import kube
from labsupport.cluster.interface import Cluster
from labsupport.course.lessons.memory import MemoryApi

NAMESPACE = "memory-api"
KINDS = {"configmaps": "ConfigMap"}
PATCHES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}


@pytest.fixture(scope="module")
def real(cluster: Cluster) -> Iterator[client.ApiClient]:
    api = kube.connect(cluster.kubeconfig)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    kube.apply(api, [namespace])
    yield api
    kube.delete(api, [namespace])


def sheep(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"flock": "meadow"}}, "data": {"colour": "white"}} | more


def owned(uid: str, *, controller: bool = False, without: str = "") -> dict[str, Any]:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": uid, "controller": controller}
    return {"metadata": {"ownerReferences": [{key: value for key, value in owner.items() if key != without}]}}


def story(api: client.ApiClient) -> list[Any]:
    """What the server answers to one request after another: statuses, contents, and whether versions moved."""
    core = client.CoreV1Api(api)
    told: list[Any] = []
    versions: list[str] = []

    def note(call: Any) -> Any:
        try:
            answer = call()
        except client.ApiException as error:
            told.append(error.status)
            return None
        if isinstance(answer, client.V1ConfigMap):
            moved = answer.metadata.resource_version not in versions
            versions.append(answer.metadata.resource_version)
            told.append(("object", answer.metadata.name, answer.data, answer.metadata.labels, moved))
        else:
            told.append("done")
        return answer

    def patch(kind: str, body: Any, name: str = "a", **named: Any) -> Any:
        return note(
            lambda: core.patch_namespaced_config_map(
                name, NAMESPACE, body, _content_type=PATCHES[kind], **named
            )
        )

    first = note(lambda: core.create_namespaced_config_map(NAMESPACE, sheep("a")))
    note(lambda: core.create_namespaced_config_map(NAMESPACE, sheep("a")))
    note(lambda: core.read_namespaced_config_map("nobody", NAMESPACE))
    patch("merge", {"data": {"colour": "black", "bell": "yes"}})
    patch("merge", {"data": {"colour": "black"}})  # changes nothing
    patch("merge", {"data": {"bell": None}})
    note(lambda: core.replace_namespaced_config_map("a", NAMESPACE, first))  # an old version
    first.metadata.resource_version = None
    note(lambda: core.replace_namespaced_config_map("a", NAMESPACE, first))  # no version at all
    patch("json", [{"op": "replace", "path": "/data/colour", "value": "brown"}])
    patch("json", [{"op": "test", "path": "/data/colour", "value": "white"}])
    patch("merge", {"metadata": {"resourceVersion": versions[0]}, "data": {"colour": "grey"}})
    uid = first.metadata.uid
    patch("strategic", owned(uid, without="name"))
    patch("strategic", owned(uid, without="uid"))
    other = "00000000-0000-4000-8000-00000000ffff"
    two = owned(uid, controller=True)
    two["metadata"]["ownerReferences"] += owned(other, controller=True)["metadata"]["ownerReferences"]
    patch("merge", two)
    document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "b"},
        "data": {"x": "1", "y": "2"},
    }
    patch("apply", document, "b", field_manager="one", force=True)
    patch("apply", document, "b", field_manager="one", force=True)
    patch("apply", document | {"data": {"x": "1"}}, "b", field_manager="one", force=True)
    found = core.list_namespaced_config_map(NAMESPACE, label_selector="flock=meadow").items
    told.append([each.metadata.name for each in found])
    note(lambda: core.delete_namespaced_config_map("a", NAMESPACE))
    note(lambda: core.delete_namespaced_config_map("a", NAMESPACE))
    note(lambda: core.delete_namespaced_config_map("b", NAMESPACE))
    return told


def test_both_answer_alike(real: client.ApiClient) -> None:
    assert story(MemoryApi(KINDS).client()) == story(real)
