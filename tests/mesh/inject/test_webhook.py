"""AdmissionReview in, AdmissionReview out."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from labsupport.mesh import names
from labsupport.mesh.inject import patch, webhook
from labsupport.mesh.inject.asked import Settings

Object = dict[str, Any]


def asked(annotations: dict[str, str] | None = None, **request: Any) -> Object:
    pod = {
        "metadata": {"generateName": "web-", "annotations": annotations or {}},
        "spec": {"containers": [{"name": "web"}]},
    }
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u1",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "operation": "CREATE",
            "namespace": "shop",
            "object": pod,
            **request,
        },
    }


class Told:
    """What the callbacks heard."""

    def __init__(self, *, fails: bool = False) -> None:
        self.namespaces: list[str] = []
        self.reports: list[str] = []
        self._fails = fails

    def ensure_trust(self, namespace: str) -> None:
        self.namespaces.append(namespace)
        if self._fails:
            raise RuntimeError("no API server")

    def review(self, received: Object) -> Object:
        answer = webhook.review(
            received, Settings(), ensure_trust=self.ensure_trust, report=self.reports.append
        )
        assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
        assert answer["response"]["uid"] == "u1"
        return answer["response"]  # type: ignore[no-any-return]


def test_a_pod_is_allowed_with_its_patch_and_the_namespace_gets_the_roots() -> None:
    told = Told()
    response = told.review(asked())
    assert response["allowed"] is True
    assert response["patchType"] == "JSONPatch"
    operations = json.loads(base64.b64decode(response["patch"]))
    assert [each["path"] for each in operations][1:3] == ["/spec/initContainers", "/spec/volumes"]
    assert "warnings" not in response
    assert told.namespaces == ["shop"]


def test_a_dry_run_is_patched_and_has_no_effect() -> None:
    told = Told()
    assert "patch" in told.review(asked(dryRun=True))
    assert told.namespaces == []


def test_a_pod_that_opts_out_is_allowed_without_effect() -> None:
    told = Told()
    assert told.review(asked({names.INJECT: "false"})) == {"uid": "u1", "allowed": True}
    assert told.namespaces == []


def test_a_bad_annotation_is_denied_with_what_is_wrong() -> None:
    response = Told().review(asked({names.EXCLUDE_INBOUND: "http"}))
    assert response["allowed"] is False
    assert response["status"]["code"] == 422
    assert '"http" is none' in response["status"]["message"]
    assert "patch" not in response


def test_an_annotation_of_ours_that_means_nothing_is_warned_of() -> None:
    response = Told().review(asked({"mesh.labs.example/exclude-ports": "1", "other/x": "y"}))
    assert response["warnings"] == [
        "the annotation mesh.labs.example/exclude-ports means nothing to the mesh"
    ]
    assert "patch" in response


def test_roots_that_cannot_be_put_there_do_not_keep_the_pod_out() -> None:
    told = Told(fails=True)
    response = told.review(asked())
    assert response["allowed"] is True
    assert "waits for them" in response["warnings"][0]
    assert "no API server" in told.reports[0]


def test_a_fault_of_ours_is_told_to_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> Any:
        raise KeyError("spec")

    monkeypatch.setattr(patch, "patch", broken)
    told = Told()
    response = told.review(asked())
    assert response["allowed"] is False
    assert "KeyError" in response["status"]["message"]
    assert "Traceback" in told.reports[0]


@pytest.mark.parametrize(
    "request_",
    [{"kind": {"kind": "Service"}}, {"operation": "UPDATE"}, {"operation": "DELETE", "object": None}],
)
def test_what_it_is_not_for_is_let_through(request_: Object) -> None:
    assert Told().review(asked(**request_)) == {"uid": "u1", "allowed": True}


@pytest.mark.parametrize(
    "wrong", [{}, {"kind": "Pod"}, {**asked(), "apiVersion": "admission.k8s.io/v1beta1"}]
)
def test_what_is_no_review_is_an_error(wrong: Object) -> None:
    with pytest.raises(ValueError, match="AdmissionReview"):
        webhook.review(wrong, Settings())
