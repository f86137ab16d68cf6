"""Snapshots: what chance and clocks decide does not count, everything else does."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from labsupport.course.worlds.snapshot import ALLOWED, difference, left_by_the_collector, normalised


def pod(suffix: str, **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"web-abc-{suffix}",
            "generateName": "web-abc-",
            "namespace": "lab-x",
            "uid": f"u-{suffix}",
            "resourceVersion": suffix,
            "creationTimestamp": f"2026-01-01T00:00:0{len(suffix)}Z",
            "labels": {"app": "web"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-abc", "uid": suffix}],
        },
        "spec": {"nodeName": f"node-{suffix}", "volumes": [{"name": f"kube-api-access-{suffix}"}]},
        "status": {
            "phase": "Running",
            "podIPs": [{"ip": f"10.0.0.{len(suffix)}"}],
            "startTime": suffix,
            **status,
        },
    }


def endpoints(suffix: str) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"web-{suffix}", "generateName": "web-", "namespace": "lab-x"},
        "endpoints": [{"addresses": [f"10.0.0.{len(suffix)}"], "targetRef": {"name": f"web-abc-{suffix}"}}],
    }


def secret(value: str, kind: str = "Opaque") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": kind,
        "metadata": {"name": "s"},
        "data": {"key": value},
    }


def test_what_chance_decides_is_equal() -> None:
    before = normalised([pod("aaaaa"), endpoints("aaaaa")])
    after = normalised([endpoints("zzzzz"), pod("zzzzz")])
    assert difference(before, after) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda each: each["metadata"]["labels"].update(app="x"), "metadata.labels.app"),
        (lambda each: each["status"].update(phase="Failed"), "status.phase"),
        (lambda each: each["metadata"].update(finalizers=["x"]), "metadata.finalizers"),
        (lambda each: each["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"), "beingDeleted"),
        (lambda each: each["spec"]["volumes"].append({"name": "more"}), "spec.volumes"),
    ],
)
def test_what_somebody_did_counts(change: Any, said: str) -> None:
    changed = copy.deepcopy(pod("aaaaa"))
    change(changed)
    (line,) = difference(normalised([pod("aaaaa")]), normalised([changed]))
    assert line.startswith("changed: Pod web-abc-<chance> in lab-x: ")
    assert said in line


def test_numbers_count() -> None:
    one, two = normalised([pod("aaaaa")]), normalised([pod("aaaaa"), pod("bbbbb")])
    assert difference(one, two) == ["new: Pod web-abc-<chance> (no. 1) in lab-x"]
    assert difference(two, one) == ["gone: Pod web-abc-<chance> (no. 1) in lab-x"]


def test_secrets_are_compared_and_not_shown() -> None:
    before, after = normalised([secret("b3Blbg==")]), normalised([secret("c2VzYW1l")])
    (line,) = difference(before, after)
    assert "data.key" in line
    assert "b3Blbg" not in line + str(before)
    tls = "kubernetes.io/tls"
    assert difference(normalised([secret("a", tls)]), normalised([secret("b", tls)])) == []


def test_what_is_the_garbage_collectors_is_left_to_it() -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "o", "uid": "there"}}

    def owned(name: str, *uids: str) -> dict[str, Any]:
        references = [{"kind": "ConfigMap", "name": "o", "uid": uid} for uid in uids]
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "uid": name, "ownerReferences": references},
        }

    objects = [
        owner,
        owned("one", "there"),
        owned("two", "gone", "there"),
        owned("lost", "gone"),
        owned("none"),
    ]
    assert [each["metadata"]["name"] for each in left_by_the_collector(objects)] == [
        "o",
        "one",
        "two",
        "none",
    ]


def test_what_follows_from_a_quorums_uid_does_not_count() -> None:
    def members(uid: str, image: str = "quorum:1") -> list[dict[str, Any]]:
        labels = {"quorum.labs.example/uid": f"00000000-0000-0000-0000-{uid * 12}"}
        tokens = secret(uid)
        tokens["metadata"]["labels"] = labels
        revision = {"name": f"q-{uid}", "labels": labels | {"controller.kubernetes.io/hash": uid}}
        return [
            tokens,
            {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": revision, "data": image},
            {
                "kind": "StatefulSet",
                "apiVersion": "apps/v1",
                "metadata": {"name": "q"},
                "status": f"q-{uid}",
                "spec": image,
            },
        ]

    assert difference(normalised(members("a")), normalised(members("b"))) == []
    assert len(difference(normalised(members("a")), normalised(members("b", "quorum:2")))) == 1
    # Templates of the past do not count: a member that was changed and changed back is as before.
    _, earlier, _ = members("c", "quorum:0")
    assert difference(normalised(members("a")), normalised([*members("b"), earlier])) == []


def test_records_and_leases_do_not_count() -> None:
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "x"}}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}}
    assert normalised([event, lease]) == {}


def test_data_that_looks_like_status_counts() -> None:
    def config(value: str) -> dict[str, Any]:
        data = {"uid": value, "startTime": value, "state": value, "resourceVersion": value}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}

    assert len(difference(normalised([config("1")]), normalised([config("2")]))) == 4


def test_each_entry_has_its_reason() -> None:
    assert all(len(entry.reason) > 5 for entry in ALLOWED)
    assert len({(entry.kind, entry.field) for entry in ALLOWED}) == len(ALLOWED)


def deployed(digest: str, template: str, *, kind: str) -> list[dict[str, Any]]:
    """What lab.deploy leaves of a host; with a certificate where the Secret's type is that of one."""

    def made(kind: str, name: str, **metadata: Any) -> dict[str, Any]:
        labels = {"labs.example/deployed": "hook", **metadata.pop("labels", {})}
        return {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "lab-x", "labels": labels, **metadata},
        }

    hashed = {"labs.example/source": digest, "pod-template-hash": template}
    pod = made("Pod", f"hook-{template}-8hx2q", generateName=f"hook-{template}-", labels=hashed)
    pod["spec"] = {"volumes": [{"configMap": {"name": f"hook-{digest}"}}]}
    secret = made("Secret", "hook-certificate")
    return [
        {**secret, "type": kind, "data": {}},
        made("ConfigMap", f"hook-{digest}", labels={"labs.example/source": digest}),
        made("ReplicaSet", f"hook-{template}", labels=hashed),
        pod,
    ]


def test_a_host_with_a_certificate_has_another_digest_each_time() -> None:
    once, again = (
        normalised(deployed(*digests, kind="kubernetes.io/tls"))
        for digests in (("0a1b2c3d4e", "5f6d7"), ("1a2b3c4d5e", "8b9c8"))
    )
    assert difference(once, again) == []


def test_without_one_another_digest_is_another_function() -> None:
    once, again = (
        normalised(deployed(*digests, kind="Opaque"))
        for digests in (("0a1b2c3d4e", "5f6d7"), ("1a2b3c4d5e", "8b9c8"))
    )
    assert "gone: ConfigMap hook-0a1b2c3d4e in lab-x" in difference(once, again)
