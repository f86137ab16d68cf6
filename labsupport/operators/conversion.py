"""Converts custom resources with a learner's function: a conversion webhook (README.md).

`function(object, wanted_version)` gets an object as the API server has it and the `apiVersion` that is wanted, and
returns the object in that version. The messages are those of apiextensions.k8s.io/v1 ConversionReview
(https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/). One object
that cannot be converted fails the whole review, as the API has no answer for a part; the reason reaches whoever asked.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from labsupport.operators import learner, reviews
from labsupport.operators.reviews import CERTIFICATE, PORT

LIMIT = 5.0  # seconds for one object before it is told that it takes long
_calls = itertools.count(1)


def review(function: learner.Learner, asked: dict[str, Any]) -> dict[str, Any]:
    """The answer to a ConversionReview; what the function raises becomes the message of a failure."""
    request = asked["request"]
    wanted = str(request["desiredAPIVersion"])
    response: dict[str, Any] = {"uid": request["uid"], "convertedObjects": []}
    began = time.perf_counter()
    for each in request["objects"]:
        about = f"{each.get('kind')} {(each.get('metadata') or {}).get('name')} of {each.get('apiVersion')}"
        try:
            converted = function(each, wanted, about=f"{about}, wanted as {wanted}", limit=LIMIT)
            with function.guard(about):
                json.dumps(converted)
        except Exception as error:
            message = f"{function.name} raised {type(error).__name__} for {about}: {error}"
            return _answer({**response, "result": {"status": "Failure", "message": message}})
        response["convertedObjects"].append(converted)
    _tell(len(response["convertedObjects"]), wanted, (time.perf_counter() - began) * 1000)
    return _answer({**response, "result": {"status": "Success"}})


def _tell(objects: int, wanted: str, took: float) -> None:
    """One line of the log, numbered so that calls can be counted; in one write, as reviews come side by side."""
    line = (
        f"call {next(_calls)}: {objects} object{'' if objects == 1 else 's'} to {wanted} in {took:.1f} ms\n"
    )
    sys.stdout.write(line)
    sys.stdout.flush()


def _answer(response: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": response}


def server(
    function: learner.Learner, port: int = PORT, directory: Path = CERTIFICATE, address: str = ""
) -> ThreadingHTTPServer:
    """An HTTPS server bound to `port` on `address` (default: all), with the certificate in `directory`."""

    return reviews.server(lambda asked: review(function, asked), "ConversionReview", port, directory, address)


def main() -> int:
    """Serve until the Pod ends."""
    function = learner.load()
    serving = server(function)
    learner.ready()
    serving.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
