"""Converts custom resources with a learner's function: a conversion webhook (README.md).

`function(object, wanted_version)` gets an object as the API server has it and the `apiVersion` that is wanted, and
returns the object in that version. The messages are those of apiextensions.k8s.io/v1 ConversionReview
(https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/). One object
that cannot be converted fails the whole review, as the API has no answer for a part; the reason reaches whoever asked.
"""

from __future__ import annotations

import itertools
import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from labsupport.operators import learner

PORT = 8443
CERTIFICATE = Path("/certificate")  # where the manifest mounts the Secret
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

    class Handler(BaseHTTPRequestHandler):
        """One connection, kept open between reviews (HTTP/1.1)."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body in one segment

        def do_POST(self) -> None:
            """Answer a review."""
            try:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, body = 200, json.dumps(review(function, asked))
            except (ValueError, TypeError, KeyError) as error:
                status, body = 400, json.dumps({"error": f"This is no ConversionReview: {error!r}"})
            content = body.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is inherited)
            """Requests are not logged one by one: `review` tells what was done."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    made = ThreadingHTTPServer((address, port), Handler)
    made.daemon_threads = True
    # The handshake is done by the connection's own thread: a caller that says nothing must not keep out the others.
    made.socket = context.wrap_socket(made.socket, server_side=True, do_handshake_on_connect=False)
    return made


def main() -> int:
    """Serve until the Pod ends."""
    function = learner.load()
    serving = server(function)
    learner.ready()
    serving.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
