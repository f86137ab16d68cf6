"""AdmissionReview in, AdmissionReview out: what the API server asks of the webhook, and what it hears. Pure but for
`ensure_trust`.

The messages are those of admission.k8s.io/v1
(https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/).
"""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Callable
from typing import Any

from labsupport.mesh import names
from labsupport.mesh.inject import asked, marks, patch
from labsupport.mesh.inject.asked import BadPod, Object, Settings

API_VERSION = "admission.k8s.io/v1"


def review(
    received: Object,
    settings: Settings,
    *,
    ensure_trust: Callable[[str], None] = lambda namespace: None,
    report: Callable[[str], None] = lambda text: None,
) -> Object:
    """Answer one AdmissionReview.

    `ensure_trust(namespace)` makes the ConfigMap that the Pod will mount; it is not called for a dry run, nor for a Pod
    that gets no proxy (the configuration's sideEffects: NoneOnDryRun). It may fail: the Pod then waits for its volume
    until the ConfigMap is there. `report` hears what an operator of the mesh should know.
    Errors: ValueError if this is no AdmissionReview of a version that we understand.
    """
    request = received.get("request")
    if received.get("apiVersion") != API_VERSION or received.get("kind") != "AdmissionReview":
        raise ValueError(f"this is no AdmissionReview of {API_VERSION}")
    if not isinstance(request, dict) or not request.get("uid"):
        raise ValueError("this AdmissionReview has no request with a uid")
    answer = {"uid": request["uid"], **_answer(request, settings, ensure_trust, report)}
    return {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": answer}


def _answer(
    request: Object,
    settings: Settings,
    ensure_trust: Callable[[str], None],
    report: Callable[[str], None],
) -> dict[str, Any]:
    if (request.get("kind") or {}).get("kind") != "Pod" or request.get("operation") != "CREATE":
        return {"allowed": True}  # a configuration that asks for more than it should does no harm
    pod, namespace = request["object"], request.get("namespace", "")
    name = pod["metadata"].get("name") or pod["metadata"].get("generateName", "") + "..."
    try:
        operations = patch.patch(pod, namespace, settings)
    except BadPod as error:
        return _denied(422, "Invalid", f"the mesh cannot inject this Pod: {error}")
    except Exception as error:
        # A fault of ours. Said in the answer, it reaches the person; as a broken connection it would not.
        report(f"{namespace}/{name}: {''.join(traceback.format_exception(error))}")
        told = f"injection failed with {type(error).__name__}: {error}"
        return _denied(500, "InternalError", f'{told} (the annotation {names.INJECT}: "false" opts out)')
    answer: dict[str, Any] = {"allowed": True}
    warnings = [f"the annotation {key} means nothing to the mesh" for key in asked.unknown_annotations(pod)]
    if operations:
        if asked.asked_of(pod, settings).capture == asked.REDIRECT:  # else it need not even set a mark
            warnings += marks.warnings(pod)
        answer["patchType"] = "JSONPatch"
        answer["patch"] = base64.b64encode(json.dumps(operations).encode()).decode()
        if not request.get("dryRun"):
            try:
                ensure_trust(namespace)
            except Exception as error:
                report(f"{namespace}: the trusted roots could not be put there: {error}")
                warnings.append(f"{namespace} has no trusted roots of the mesh yet: this Pod waits for them")
    if warnings:
        answer["warnings"] = warnings
    return answer


def _denied(code: int, reason: str, message: str) -> dict[str, Any]:
    status = {"status": "Failure", "code": code, "reason": reason, "message": message}
    return {"allowed": False, "status": status}
