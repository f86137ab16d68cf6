"""`POST /certificates`: what a proxy's helper asks. The body is {"csr": PEM}, the token a bearer's (RFC 6750)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from labsupport import kube
from labsupport.mesh.https import Handler, Request, Response
from labsupport.mesh.identity.ca import TTL, Authority
from labsupport.mesh.identity.csr import BAD_REQUEST, Issued, Keys, certify
from labsupport.mesh.identity.tokens import RefusedRequest

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

ROUTE = ("POST", "/certificates")
BEARER = "bearer "
UNAVAILABLE = 503


def certificates(
    api: ApiClient,
    authority: Callable[[], Authority],
    *,
    keys: Keys,
    ttl: Callable[[], timedelta] = lambda: TTL,
    told: Callable[[Issued | RefusedRequest], None] = lambda outcome: None,
) -> Handler:
    """The handler for ROUTE. `told` hears of each certificate and each refusal, for logs and counters."""

    def handle(request: Request) -> Response:
        try:
            issued = certify(
                api, authority(), _token(request), _csr(request), keys=keys, ttl=ttl(), peer=request.peer
            )
        except RefusedRequest as refusal:
            told(refusal)
            return Response.json({"error": refusal.text}, refusal.status)
        except (kube.Refused, kube.Unreachable) as error:
            return Response.json({"error": f"The API server cannot be asked: {error.what}"}, UNAVAILABLE)
        told(issued)
        return Response.json(issued.answer())

    return handle


def _token(request: Request) -> str:
    scheme = request.headers.get("authorization", "")
    return scheme[len(BEARER) :].strip() if scheme.lower().startswith(BEARER) else ""


def _csr(request: Request) -> str:
    try:
        csr = json.loads(request.body)["csr"]
    except (ValueError, KeyError, TypeError):
        csr = None
    if not isinstance(csr, str):
        raise RefusedRequest(
            BAD_REQUEST, 'The body must be JSON: {"csr": "-----BEGIN CERTIFICATE REQUEST-----..."}.'
        )
    return csr
