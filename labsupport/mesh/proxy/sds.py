"""Secrets as files that Envoy watches (SDS over the file system): this Pod's identity, and what the control plane is
checked by.
"""

from __future__ import annotations

import json
import os
from typing import Any

from labsupport.mesh import names

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"


def identity(chain: str, key: str) -> dict[str, Any]:
    """The key with its certificate, PEM texts."""
    return _response(
        names.IDENTITY,
        {
            "tls_certificate": {
                "certificate_chain": {"inline_string": chain},
                "private_key": {"inline_string": key},
            }
        },
    )


def control_trust(roots: str) -> dict[str, Any]:
    """The control plane and nobody else: a certificate of these roots, and that one identity in it."""
    control = names.spiffe_id(names.SYSTEM, names.CONTROL)
    validation = {
        "trusted_ca": {"inline_string": roots},
        "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": control}}],
    }
    return _response(names.CONTROL_TRUST, {"validation_context": validation})


def _response(name: str, content: dict[str, Any]) -> dict[str, Any]:
    # The version is Envoy's own (a hash of the file); a DiscoveryResponse has the field all the same.
    return {"version_info": "file", "resources": [{"@type": f"{TLS}.Secret", "name": name, **content}]}


def write(path: str, content: dict[str, Any]) -> None:
    """Put `content` at `path` as JSON, for this user only, in one step: nobody reads half a file. Errors: OSError."""
    new = f"{path}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(new, path)  # noqa: PTH105 (no pathlib here). Envoy waits for just this event in the directory
