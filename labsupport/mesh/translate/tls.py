"""TLS between sidecars: version 1.3 only, both sides with an X509-SVID, the other's checked against the mesh's roots.

The own key and certificate are files that the helper beside Envoy writes; the roots come from the control plane.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from labsupport.mesh import names
from labsupport.mesh.translate.envoy import ADS, Json, typed

# Both ends of the range: a client's maximum would be 1.2 otherwise, and no version common to both.
VERSIONS = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}
ANYONE = {"prefix": f"spiffe://{names.TRUST_DOMAIN}/"}
_MESSAGES = "extensions.transport_sockets.tls.v3"


def upstream(identities: Iterable[str], protocols: list[str], sni: str = "") -> Json:
    """The client's side. The server must have one of these SPIFFE IDs (none: any of the trust domain)."""
    matchers = [{"exact": identity} for identity in sorted(set(identities))] or [ANYONE]
    context = _context(matchers, protocols)
    name = {"sni": sni} if sni else {}
    kind = f"{_MESSAGES}.UpstreamTlsContext"
    return typed("envoy.transport_sockets.tls", kind, common_tls_context=context, **name)


def downstream(protocols: list[str]) -> Json:
    """The server's side; a client without a certificate of the mesh is refused in the handshake."""
    return typed(
        "envoy.transport_sockets.tls",
        f"{_MESSAGES}.DownstreamTlsContext",
        require_client_certificate=True,
        common_tls_context=_context([ANYONE], protocols),
    )


def public(certificates: Iterable[str]) -> Json:
    """The server's side for strangers, by these secrets; nobody is asked for a certificate."""
    held = [{"name": each, "sds_config": ADS} for each in certificates]
    return typed(
        "envoy.transport_sockets.tls",
        f"{_MESSAGES}.DownstreamTlsContext",
        common_tls_context={
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificate_sds_secret_configs": held,
        },
    )


def pair(name: str, chain: str, key: str) -> Json:
    """The secret with a certificate chain and its key (PEM)."""
    held = {"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}}
    return {"name": name, "tls_certificate": held}


def trust(roots: str) -> Json:
    """The secret with the roots (PEM)."""
    return {"name": names.TRUST, "validation_context": {"trusted_ca": {"inline_string": roots}}}


def _context(matchers: list[Json], protocols: list[str]) -> Json:
    own: dict[str, Any] = {
        "path_config_source": {"path": names.IDENTITY_FILE, "watched_directory": {"path": names.STATE}},
        "resource_api_version": "V3",
    }
    return {
        "tls_params": VERSIONS,
        "alpn_protocols": protocols,
        "tls_certificate_sds_secret_configs": [{"name": names.IDENTITY, "sds_config": own}],
        "combined_validation_context": {
            "default_validation_context": {
                "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": each} for each in matchers]
            },
            "validation_context_sds_secret_config": {"name": names.TRUST, "sds_config": ADS},
        },
    }
