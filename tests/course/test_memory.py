"""The API server in memory refuses what a real one refuses, and counts what changed."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client

from labsupport.course.lessons.memory import Killed, MemoryApi

KINDS = {"configmaps": "ConfigMap"}
PLACE = "/api/v1/namespaces/field/configmaps"


def sheep(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "data": {"colour": "white"}}


def test_a_write_with_an_old_version_is_a_conflict_and_changes_nothing() -> None:
    server = MemoryApi(KINDS)
    core = client.CoreV1Api(server.client())
    first = core.create_namespaced_config_map("field", sheep("a"))
    server.change(f"{PLACE}/a", lambda each: each["data"].update(bell="yes"))
    with pytest.raises(client.ApiException) as refused:
        core.replace_namespaced_config_map("a", "field", first)
    assert refused.value.status == 409
    assert server.objects[f"{PLACE}/a"]["data"] == {"colour": "white", "bell": "yes"}
    assert not server.requests[-1].changed


def test_a_write_that_changes_nothing_gives_no_new_version() -> None:
    server = MemoryApi(KINDS)
    core = client.CoreV1Api(server.client())
    core.create_namespaced_config_map("field", sheep("a"))
    core.patch_namespaced_config_map("a", "field", {"data": {"colour": "white"}})
    core.replace_namespaced_config_map("a", "field", sheep("a"))
    assert [each.changed for each in server.requests] == [True, False, False]


@pytest.mark.parametrize(
    ("status", "call"),
    [
        (404, lambda core: core.read_namespaced_config_map("b", "field")),
        (404, lambda core: core.delete_namespaced_config_map("b", "field")),
        (409, lambda core: core.create_namespaced_config_map("field", sheep("a"))),
        (
            422,
            lambda core: core.patch_namespaced_config_map(
                "a", "field", [{"op": "test", "path": "/data/colour", "value": "black"}]
            ),
        ),
        (
            422,
            lambda core: core.patch_namespaced_config_map(
                "a", "field", {"metadata": {"ownerReferences": [{"kind": "Flock", "name": "x"}]}}
            ),
        ),
    ],
)
def test_refusals(status: int, call: Any) -> None:
    server = MemoryApi(KINDS)
    core = client.CoreV1Api(server.client())
    core.create_namespaced_config_map("field", sheep("a"))
    with pytest.raises(client.ApiException) as refused:
        call(core)
    assert refused.value.status == status


def test_labels_select_and_collections_can_be_deleted() -> None:
    server = MemoryApi(KINDS)
    core = client.CoreV1Api(server.client())
    for name, flock in (("a", "meadow"), ("b", "hill"), ("c", "meadow")):
        core.create_namespaced_config_map("field", sheep(name, flock=flock))
    found = core.list_namespaced_config_map("field", label_selector="flock=meadow").items
    assert [each.metadata.name for each in found] == ["a", "c"]
    core.delete_collection_namespaced_config_map("field", label_selector="flock=meadow")
    assert [each["metadata"]["name"] for each in server.items(PLACE)] == ["b"]


def test_apply_removes_what_its_manager_leaves_out_and_nothing_else() -> None:
    server = MemoryApi(KINDS)
    core = client.CoreV1Api(server.client())
    core.create_namespaced_config_map("field", sheep("a"))

    def apply(data: dict[str, str]) -> None:
        core.patch_namespaced_config_map(
            "a",
            "field",
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data},
            field_manager="shepherd",
            force=True,
            _content_type="application/apply-patch+yaml",
        )

    apply({"bell": "yes"})
    apply({})
    assert server.objects[f"{PLACE}/a"]["data"] == {"colour": "white"}


def test_a_killed_client_is_not_saved_by_except_exception() -> None:
    def before(method: str, path: str) -> None:
        if method == "POST":
            raise Killed

    core = client.CoreV1Api(MemoryApi(KINDS, before).client())

    def careless() -> None:
        try:
            core.create_namespaced_config_map("field", sheep("a"))
        except Exception:
            pytest.fail("nothing can be done about a kill")

    with pytest.raises(Killed):
        careless()
