"""The control plane's own certificate: issued by itself, kept in memory, renewed at half its life.

Both of its ports take it from one place: gRPC (ADS) asks for a certificate of the other side, HTTPS does not, for who
comes there has none yet (a proxy's helper with a token) or is no part of the mesh (the API server).
"""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from labsupport.mesh.identity.ca import TTL, Authority, Identity, key_pem, new_key, pem
from labsupport.mesh.names import CONTROL, SYSTEM

if TYPE_CHECKING:
    import grpc

DNS = (f"{CONTROL}.{SYSTEM}.svc", f"{CONTROL}.{SYSTEM}.svc.cluster.local")

# For grpc.aio.server(options=...). Proxies ping a quiet stream (HTTP/2 PING); by default gRPC takes more than one ping
# in 5 minutes for an attack and hangs up (grpc/grpc doc/keepalive.md: too_many_pings).
SERVER_OPTIONS = (("grpc.http2.min_ping_interval_without_data_ms", 5_000),)


@dataclass(frozen=True)
class Pair:
    """A certificate with its key, and the roots that others are checked by; PEM texts."""

    key: str = field(repr=False)
    chain: str
    roots: str
    not_after: datetime


def _now() -> datetime:
    return datetime.now(UTC)


class OwnCertificate:
    """The certificate to show now. `authority` is asked each time; a changed one means a new certificate."""

    def __init__(
        self,
        authority: Callable[[], Authority],
        identity: Identity,
        *,
        dns: Sequence[str] = DNS,
        ttl: timedelta = TTL,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._authority, self._identity, self._dns = authority, identity, dns
        self._ttl, self._now = ttl, now
        self._lock = threading.Lock()
        self._pair: Pair | None = None
        self._by: Authority | None = None

    def current(self) -> Pair:
        """The same object until it is renewed; a new one has a new key. Safe in any thread."""
        authority = self._authority()
        with self._lock:
            now = self._now()
            if self._pair is None or self._by != authority or self._pair.not_after - now < self._ttl / 2:
                key = new_key()
                certificate = authority.issue(
                    key.public_key(), self._identity, self._ttl, now=now, dns=self._dns
                )
                self._by = authority
                self._pair = Pair(
                    key_pem(key), pem(certificate), authority.roots_pem, certificate.not_valid_after_utc
                )
            return self._pair


def server_credentials(own: OwnCertificate) -> grpc.ServerCredentials:
    """For `add_secure_port`: shows `own`, and lets nobody in without a certificate of a trusted root.

    gRPC asks at each new connection, so a renewal and a changed root hold from the next one on.
    """
    import grpc

    shown: list[Pair] = []

    def configuration(pair: Pair) -> grpc.ServerCertificateConfiguration:
        shown[:] = [pair]
        return grpc.ssl_server_certificate_configuration(
            [(pair.key.encode(), pair.chain.encode())], pair.roots.encode()
        )

    def changed() -> grpc.ServerCertificateConfiguration | None:
        pair = own.current()
        return None if shown[0] is pair else configuration(pair)  # None: go on with the last one

    return grpc.dynamic_ssl_server_credentials(configuration(own.current()), changed, True)  # type: ignore[arg-type]


def https_context(own: OwnCertificate) -> Callable[[], ssl.SSLContext]:
    """For https.Server: the context to greet the next connection with."""
    made: list[tuple[Pair, ssl.SSLContext]] = []

    def context() -> ssl.SSLContext:
        pair = own.current()
        if not made or made[0][0] is not pair:
            # A new one each time: a context must not change while another thread shakes hands with it.
            made[:] = [(pair, server_context(pair))]
        return made[0][1]

    return context


def server_context(pair: Pair) -> ssl.SSLContext:
    """A context that shows `pair` and asks for no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # The library reads certificates from files only; this one is in memory and has no name that others could open.
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, (pair.key + pair.chain).encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context
