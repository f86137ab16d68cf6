"""Changes new Pods with a learner's function: a mutating admission webhook (README.md).

`function(pod)` gets a Pod that is about to be stored and returns JSON Patch operations (RFC 6902), [] for none. The
messages are those of admission.k8s.io/v1 AdmissionReview
(https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/). Where the function raises,
or returns what is no list of operations, the Pod is refused and the reason reaches whoever asked for it.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from labsupport.operators import learner, reviews
from labsupport.operators.reviews import CERTIFICATE, PORT

LIMIT = 3.0  # seconds for one Pod before it is told that it takes long; the API server waits for 5


def review(function: learner.Learner, asked: dict[str, Any]) -> dict[str, Any]:
    """The answer to an AdmissionReview; what the function raises becomes the message of a refusal."""
    request = asked["request"]
    about = f"Pod {name_of(request['object'])}"
    answer: dict[str, Any] = {"uid": request["uid"], "allowed": True}
    began = time.perf_counter()
    try:
        operations = function(request["object"], about=about, limit=LIMIT)
        with function.guard(about):
            patch = json.dumps(_operations(operations))
    except Exception as error:
        message = f"{function.name} raised {type(error).__name__} for {about}: {error}"
        answer |= {"allowed": False, "status": {"status": "Failure", "code": 500, "message": message}}
    else:
        if operations:
            encoded = base64.b64encode(patch.encode()).decode()
            answer |= {"patchType": "JSONPatch", "patch": encoded}
        _tell(about, len(operations), (time.perf_counter() - began) * 1000, dry=bool(request.get("dryRun")))
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}


def name_of(pod: dict[str, Any]) -> str:
    """A Pod's name, or what its name will begin with: the API server makes the rest later."""
    metadata = pod.get("metadata") or {}
    return str(metadata.get("name") or f"{metadata.get('generateName', '')}...")


def _operations(returned: Any) -> list[Any]:
    if not isinstance(returned, list):
        raise TypeError(f"a list of operations was expected, not {type(returned).__name__}")
    return returned


def _tell(about: str, operations: int, took: float, *, dry: bool) -> None:
    """One line of the log, in one write, as reviews come side by side."""
    end = ", for a dry run" if dry else ""
    sys.stdout.write(
        f"{about}: {operations} operation{'' if operations == 1 else 's'} in {took:.1f} ms{end}\n"
    )
    sys.stdout.flush()


def server(
    function: learner.Learner, port: int = PORT, directory: Path = CERTIFICATE, address: str = ""
) -> ThreadingHTTPServer:
    """An HTTPS server bound to `port` on `address` (default: all), with the certificate in `directory`."""
    return reviews.server(lambda asked: review(function, asked), "AdmissionReview", port, directory, address)


def main() -> int:
    """Serve until the Pod ends."""
    function = learner.load()
    serving = server(function)
    learner.ready()
    serving.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
