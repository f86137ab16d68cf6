"""Whose token is it? Asked of the API server, which made it (TokenReview, authentication.k8s.io/v1).

A Pod's projected token is bound to that Pod: the review names it, and the server refuses the token once the Pod is
gone. https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.mesh.identity.ca import Identity
from labsupport.mesh.names import TOKEN_AUDIENCE

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCOUNT = "system:serviceaccount:"
EXTRA_POD = "authentication.kubernetes.io/pod-name"
EXTRA_UID = "authentication.kubernetes.io/pod-uid"
TOKEN_LIMIT = 16 * 1024  # bytes; a ServiceAccount's token has about 1,000
FINISHED = ("Succeeded", "Failed")

UNAUTHENTICATED, FORBIDDEN = 401, 403


class RefusedRequest(Exception):
    """No certificate, and why: `status` is the HTTP status, `text` what the one who asked is told."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def identify(api: ApiClient, token: str, peer: str = "") -> Identity:
    """Who holds `token`, by what the API server says of it and of the Pod that it is bound to.

    `peer`: the address that it was shown from; "" is not looked at.

    Errors: RefusedRequest; kube.Refused and kube.Unreachable where the API server does not do its part.
    """
    if not token:
        raise RefusedRequest(UNAUTHENTICATED, "There is no token: send it as Authorization: Bearer TOKEN.")
    if len(token) > TOKEN_LIMIT:
        raise RefusedRequest(UNAUTHENTICATED, f"The token is longer than {TOKEN_LIMIT} bytes.")
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [TOKEN_AUDIENCE]},
    }
    identity = reviewed(kube.request(api, "POST", REVIEWS, body=review).get("status") or {})
    path = f"/api/v1/namespaces/{identity.namespace}/pods/{identity.pod}"
    try:
        pod = kube.request(api, "GET", path)
    except kube.Refused as error:
        if error.status != 404:
            raise
        raise RefusedRequest(
            FORBIDDEN, f"There is no Pod {identity.namespace}/{identity.pod} any more."
        ) from error
    check_pod(identity, pod, peer)
    return identity


def reviewed(status: dict[str, Any]) -> Identity:
    """The identity in a TokenReview's status. Errors: RefusedRequest."""
    if not status.get("authenticated"):
        reason = status.get("error") or "it has ended, is for somebody else, or is no token of this cluster"
        raise RefusedRequest(UNAUTHENTICATED, f"The API server does not accept the token: {reason}.")
    # A server that knows nothing of audiences accepts a token whatever it is for, and says so by leaving them out.
    if TOKEN_AUDIENCE not in (status.get("audiences") or []):
        raise RefusedRequest(UNAUTHENTICATED, f"The token is not for the audience {TOKEN_AUDIENCE}.")
    user = status.get("user") or {}
    namespace, _, account = str(user.get("username", "")).removeprefix(ACCOUNT).partition(":")
    if not str(user.get("username", "")).startswith(ACCOUNT) or not (namespace and account):
        raise RefusedRequest(
            FORBIDDEN,
            f"{user.get('username') or 'Whoever this is'} is no ServiceAccount; nobody else has an identity.",
        )
    extra = user.get("extra") or {}
    pod, uid = (next(iter(extra.get(name) or []), "") for name in (EXTRA_POD, EXTRA_UID))
    if not (pod and uid):
        raise RefusedRequest(
            FORBIDDEN, f"The token of {namespace}/{account} is bound to no Pod; only a projected token is."
        )
    return Identity(namespace, account, pod, uid)


def check_pod(identity: Identity, pod: dict[str, Any], peer: str = "") -> None:
    """Whether `pod` is the one in `identity`, still runs, and is where `peer` is. Errors: RefusedRequest.

    A Pod that is being deleted runs until its grace period ends, and may need a certificate for that long. A Pod that
    has just started has no address in the API yet, so that a token stolen in its first second would pass.
    """
    where = f"{identity.namespace}/{identity.pod}"
    if pod["metadata"]["uid"] != identity.uid:
        raise RefusedRequest(FORBIDDEN, f"The token is of an earlier Pod {where}: its uid is another one.")
    account = (pod.get("spec") or {}).get("serviceAccountName") or "default"
    if account != identity.service_account:
        raise RefusedRequest(
            FORBIDDEN, f"Pod {where} runs as {account}; the token is of {identity.service_account}."
        )
    state = (pod.get("status") or {}).get("phase", "")
    if state in FINISHED:
        raise RefusedRequest(FORBIDDEN, f"Pod {where} has ended ({state}).")
    addresses = [each["ip"] for each in (pod.get("status") or {}).get("podIPs") or ()]
    if peer and addresses and peer not in addresses:
        raise RefusedRequest(
            FORBIDDEN, f"The token of Pod {where} was shown from {peer}, which is not that Pod's address."
        )
