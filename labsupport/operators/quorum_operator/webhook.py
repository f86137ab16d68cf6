"""The conversion webhook's process. It is apart from the operator, and needs nothing of it: reads must not die with it.

Two replicas share an authority (Secret quorum-conversion), which the first one makes. Each makes a certificate for
itself, and tells the API server which authority to trust, as often as somebody applies the definition anew.
"""

from __future__ import annotations

import base64
import logging
import os
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.operators import reviews
from labsupport.operators.quorum_operator import certificates, conversion, kinds, names, signer
from labsupport.operators.quorum_operator.kinds import Api
from labsupport.operators.quorum_operator.kubeapi import KubeApi

log = logging.getLogger(__name__)
TTL, LOOK = timedelta(days=30), 10.0  # of the certificate; seconds between two looks at the definition
DNS = tuple(f"{names.CONVERSION}.{names.SYSTEM}.svc{end}" for end in ("", f".{names.DOMAIN}"))
DEFINITION = f"quorums.{names.GROUP}"


def register(api: Api, authority: str) -> bool:
    """Have the API server trust `authority` (PEM) for the webhook; whether that had to be changed."""
    found = api.get(kinds.DEFINITIONS, "", DEFINITION)
    bundle = base64.b64encode(authority.encode()).decode()
    if found is None:
        return False
    webhook = (found["spec"].get("conversion") or {}).get("webhook") or {}
    if (webhook.get("clientConfig") or {}).get("caBundle") == bundle:
        return False
    change = {"spec": {"conversion": {"webhook": {"clientConfig": {"caBundle": bundle}}}}}
    api.patch(kinds.DEFINITIONS, "", DEFINITION, change)
    return True


def main() -> int:
    """Serve until the certificate is half through its life; then the kubelet starts another."""
    api = KubeApi(kube.connect_in_pod())
    authority = signer.load_or_create(api, datetime.now(UTC), names.CONVERSION)
    chain, key = certificates.serving(authority, DNS, datetime.now(UTC), TTL)
    with tempfile.TemporaryDirectory() as name:  # Python's TLS reads files only; this is in memory
        directory = Path(name)
        for file, text in (("tls.crt", chain), ("tls.key", key)):
            descriptor = os.open(directory / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as opened:
                opened.write(text)
        serving = reviews.server(conversion.review, "ConversionReview", directory=directory)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    Path("/tmp/ready").touch()  # noqa: S108 (in the Pod; the probe looks for it)
    ends, stop = datetime.now(UTC) + TTL / 2, threading.Event()
    while datetime.now(UTC) < ends:
        try:
            if register(api, authority.certificate):
                log.info("the API server was told whom to trust")
        except (LabsError, kinds.Conflict) as error:
            log.warning("the definition: %s", error)
        stop.wait(LOOK)
    return 0
