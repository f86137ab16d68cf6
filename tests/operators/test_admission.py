"""The admission host: Pods reviewed by a learner's function."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from labsupport.operators import admission
from labsupport.operators.learner import Learner

SOURCE = """
def patch(pod):
    return [{"op": "add", "path": "/metadata/labels", "value": {"seen": pod["metadata"]["labels"]["app"]}}]
"""


@pytest.fixture
def patch(tmp_path: Path) -> Learner:
    (tmp_path / "learner.py").write_text(SOURCE)
    (tmp_path / "learner.json").write_text(json.dumps({"entry": "patch", "origins": [["[3]", 7, "x"]] * 4}))
    (tmp_path / "settings.json").write_text("{}")
    return Learner(tmp_path)


def asked(**labels: str) -> dict[str, Any]:
    pod = {"metadata": {"generateName": "web-", "labels": labels}, "spec": {"containers": []}}
    return {"request": {"uid": "1", "object": pod, "dryRun": True}}


def test_a_review_is_answered_with_the_functions_operations(
    patch: Learner, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = admission.review(patch, asked(app="web"))
    assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response = answer["response"]
    assert (response["uid"], response["allowed"], response["patchType"]) == ("1", True, "JSONPatch")
    assert json.loads(base64.b64decode(response["patch"]))[0]["value"] == {"seen": "web"}
    assert capsys.readouterr().out.startswith("Pod web-...: 1 operation in ")


def test_no_operations_are_no_patch(patch: Learner) -> None:
    patch.function = lambda pod: []
    assert admission.review(patch, asked())["response"] == {"uid": "1", "allowed": True}


@pytest.mark.parametrize("returned", [None, {"op": "add"}, [{1, 2}]])
def test_what_is_no_list_of_operations_refuses_the_pod(patch: Learner, returned: Any) -> None:
    patch.function = lambda pod: returned
    response = admission.review(patch, asked())["response"]
    assert response["allowed"] is False
    assert "patch raised TypeError for Pod web-...: " in response["status"]["message"]


def test_an_exception_refuses_the_pod_with_its_reason_and_is_recorded(
    patch: Learner, capsys: pytest.CaptureFixture[str]
) -> None:
    response = admission.review(patch, asked())["response"]
    assert response["status"] == {
        "status": "Failure",
        "code": 500,
        "message": "patch raised KeyError for Pod web-...: 'app'",
    }
    record = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (record["kind"], record["cell"], record["line"]) == ("KeyError", "[3]", 7)
