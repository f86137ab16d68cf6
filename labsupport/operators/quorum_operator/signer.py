"""Approves and signs members' requests for certificates, or refuses them with a reason."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from labsupport.errors import LabsError
from labsupport.operators.quorum_operator import certificates, kinds, names
from labsupport.operators.quorum_operator.certificates import Authority, Denied
from labsupport.operators.quorum_operator.kinds import Api, Object
from labsupport.operators.quorum_operator.observed import Quorum


def load_or_create(api: Api, now: datetime, secret: str = names.AUTHORITY) -> Authority:
    """The authority in a Secret; the first who asks makes it, and who comes second reads what that one made.

    Errors: LabsError where what is there cannot be read, and what `api` raises.
    """
    for _ in range(2):
        found = api.get(kinds.SECRETS, names.SYSTEM, secret)
        if found is not None:
            return _read(found, secret)
        made = certificates.new_authority(secret, now, secrets.token_bytes(32))
        texts = {"tls.crt": made.certificate, "tls.key": made.key, "seed": made.seed.hex()}
        content = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": secret, "namespace": names.SYSTEM, "labels": dict(names.PART_OF)},
            "stringData": texts,
        }
        if api.create(kinds.SECRETS, names.SYSTEM, content):
            return made
    raise LabsError(f"Secret {names.SYSTEM}/{secret} comes and goes.")


def _read(found: Object, secret: str) -> Authority:
    try:
        data = {key: base64.b64decode(value).decode() for key, value in found["data"].items()}
        return Authority(data["tls.crt"], data["tls.key"], bytes.fromhex(data["seed"]))
    except (KeyError, ValueError) as error:
        raise LabsError(
            f"Secret {names.SYSTEM}/{secret} holds no authority that can be read: {error!r}.",
            fix="delete it if nothing uses it; another is made",
        ) from error


def tokens(authority: Authority, quorum: Quorum) -> tuple[str, str]:
    """The client's and the administrator's token of a Quorum: derived, so that the operator need not read Secrets."""

    def derived(role: str) -> str:
        said = f"{quorum.uid}/{role}".encode()
        return hmac.new(authority.seed, said, hashlib.sha256).hexdigest()

    return derived("client"), derived("admin")


def settled(request: Object) -> bool:
    """Whether a request is none of ours, or has been answered."""
    status = request.get("status") or {}
    said = {each["type"] for each in status.get("conditions") or ()}
    return request["spec"].get("signerName") != names.SIGNER or bool(
        status.get("certificate") or said & {"Denied", "Failed"}
    )


def answer(api: Api, authority: Authority, request: Object, now: Callable[[], datetime]) -> str:
    """Sign or deny a request; what was done, in words. "" where nothing is to be done.

    Errors: kinds.Conflict, where somebody else has answered it; what `api` raises.
    """
    if settled(request):
        return ""
    name, spec = request["metadata"]["name"], request["spec"]
    try:
        namespace, _, pod, _ = certificates.whose(request)
        of = certificates.asker(request, api.get(kinds.PODS, namespace, pod))
        key = certificates.check(request, of)
    except Denied as denied:
        api.replace(
            kinds.REQUESTS, name, _decided(request, "Denied", "NotThisMember", str(denied)), "approval"
        )
        return f"{name} was denied: {denied}"
    approved = request
    if not any(each["type"] == "Approved" for each in (request.get("status") or {}).get("conditions") or ()):
        approved = _decided(request, "Approved", "Member", f"it is {of.pod}, member of {of.quorum}")
        api.replace(kinds.REQUESTS, name, approved, "approval")
        # The version is another one now; what was written is read back.
        approved = api.get(kinds.REQUESTS, "", name) or approved
    seconds = int(spec.get("expirationSeconds") or certificates.LONGEST)
    chain = certificates.sign(authority, key, of, seconds, now())
    signed: dict[str, Any] = copy.deepcopy(approved)
    signed.setdefault("status", {})["certificate"] = base64.b64encode(chain.encode()).decode()
    api.replace(kinds.REQUESTS, name, signed, "status")
    return f"{of.namespace}/{of.pod} has a certificate"


def _decided(request: Object, verdict: str, reason: str, message: str) -> Object:
    decided = copy.deepcopy(request)
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {
        "type": verdict,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastUpdateTime": at,
        "lastTransitionTime": at,
    }
    decided.setdefault("status", {}).setdefault("conditions", []).append(condition)
    return decided
