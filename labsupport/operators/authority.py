"""The host of `lab.deploy(decide, host="authority")`: a small certificate authority whose decision is the learner's.

`POST /certificates` with {"token", "csr"} (PEM) as JSON. It asks the API server whose the token is, fetches the Pod
that the token names, reads the request, and calls `decide(review, pod, csr)`:

- `review`: the status of the TokenReview, asked for the audiences in AUDIENCES;
- `pod`: the Pod as the API server has it, or None;
- `csr`: what the request says, as `read_csr` gives it.

`decide` returns the SPIFFE ID to certify: the answer is 200 with {"id", "certificate"}. It raises NotCertified to
refuse: 403 with {"error"}. What else it raises is answered with 500 and recorded.
"""

from __future__ import annotations

import json
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from labsupport.operators import learner

if TYPE_CHECKING:
    from cryptography.x509 import CertificateSigningRequest
    from kubernetes.client import ApiClient

PORT = 8080
LIMIT = 5.0  # seconds for one decision before it is told that it takes long
AUDIENCE = "mesh.labs.example"
# Asked for besides, so that a Pod's everyday token is told apart from one that is none at all.
AUDIENCES = (AUDIENCE, "https://kubernetes.default.svc.cluster.local", "https://kubernetes.default.svc")
EXTRA_POD = "authentication.kubernetes.io/pod-name"
LIFETIME = timedelta(hours=1)


class NotCertified(Exception):
    """No certificate, and why."""


def review_of(api: ApiClient, token: str) -> dict[str, Any]:
    """The status of a TokenReview. Errors: Refused, Unreachable."""
    from labsupport import kube

    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": list(AUDIENCES)},
    }
    answer = kube.request(api, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=body)
    return dict(answer.get("status") or {})


def pod_of(api: ApiClient, review: dict[str, Any]) -> dict[str, Any] | None:
    """The Pod that a review names, or None. Errors: Refused (other than 404), Unreachable."""
    from labsupport import kube

    user = review.get("user") or {}
    name = next(iter((user.get("extra") or {}).get(EXTRA_POD) or []), "")
    parts = str(user.get("username", "")).split(":")
    if not name or len(parts) < 2:
        return None
    try:
        return dict(kube.request(api, "GET", f"/api/v1/namespaces/{parts[-2]}/pods/{name}"))
    except kube.Refused as error:
        if error.status in (403, 404):  # it may read Pods of its own namespace alone
            return None
        raise


def read_csr(text: str) -> tuple[CertificateSigningRequest, dict[str, Any]]:
    """A certificate request, and what it says: "names" (of all kinds, as text), "signed" (by its own key?), "key" (its
    fingerprint), "brought_by" (filled in by the caller). Errors: ValueError if it is none.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    request = x509.load_pem_x509_csr(text.encode())
    try:
        asked = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [str(each.value) for each in asked]
    except x509.ExtensionNotFound:
        names = []
    spki = request.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(spki)
    said = {"names": names, "signed": request.is_signature_valid, "key": digest.finalize().hex()[:16]}
    return request, said | {"brought_by": ""}


class Authority:
    """Signs what `decide` allows; remembers which Pod brought which key first."""

    def __init__(self, decide: learner.Learner, api: ApiClient) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        self._decide, self._api = decide, api
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._lock = threading.Lock()
        self._brought: dict[str, str] = {}

    def answer(self, body: bytes) -> tuple[int, dict[str, str]]:
        """Status and content for a request's body."""
        try:
            asked = json.loads(body)
            request, csr = read_csr(str(asked["csr"]))
        except (ValueError, KeyError, TypeError) as error:
            return 400, {"error": f"no certificate request: {error}"}
        review = review_of(self._api, str(asked.get("token", "")))
        pod = pod_of(self._api, review)
        with self._lock:
            csr["brought_by"] = self._brought.get(csr["key"], "")
        try:
            # A refusal is an answer and not a failure: it must not be recorded as one.
            identity = self._decided(review, pod, csr)
        except NotCertified as refusal:
            return 403, {"error": str(refusal)}
        if pod is not None:
            with self._lock:
                self._brought.setdefault(csr["key"], str(pod["metadata"]["uid"]))
        return 200, {"id": identity, "certificate": self._signed(request, identity)}

    def _decided(self, review: dict[str, Any], pod: dict[str, Any] | None, csr: dict[str, Any]) -> str:
        refusal: NotCertified | None = None
        user = (review.get("user") or {}).get("username", "nobody")
        with self._decide.guard(f"a request of {user} for {', '.join(csr['names']) or 'no name'}", LIMIT):
            try:
                identity = self._decide.function(review, pod, csr)
            except NotCertified as error:
                refusal = error
            else:
                if not isinstance(identity, str):
                    raise TypeError(f"{self._decide.name} returned {type(identity).__name__}, not a text")
        if refusal:
            raise refusal
        return str(identity)

    def _signed(self, request: CertificateSigningRequest, identity: str) -> str:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.x509.oid import NameOID

        now = datetime.now(UTC)
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "your authority")])
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)])
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(issuer)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + LIFETIME)
            .add_extension(names, critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM).decode()


def server(authority: Authority, function: learner.Learner, port: int = PORT) -> ThreadingHTTPServer:
    """A server that is bound to `port` on all addresses."""

    class Handler(BaseHTTPRequestHandler):
        """One connection."""

        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            """Answer a POST."""
            length = int(self.headers.get("Content-Length") or 0)
            try:
                status, content = authority.answer(self.rfile.read(length))
            except Exception as error:
                failure = function.failure(error)
                status, content = 500, {"error": f"{failure.kind}: {failure.message}"}
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is inherited)
            """Requests are not logged: the log is the learner's."""

    made = ThreadingHTTPServer(("", port), Handler)
    made.daemon_threads = True
    return made


def main() -> int:
    """Serve until the Pod ends."""
    from labsupport import kube

    function = learner.load()
    serving = server(Authority(function, kube.connect_in_pod()), function)
    learner.ready()
    serving.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
