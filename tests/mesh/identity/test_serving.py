"""The control plane's certificate, as gRPC shows it; and whom gRPC lets in."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography import x509

from labsupport.mesh.identity import ca, store
from labsupport.mesh.identity.serving import SERVER_OPTIONS, OwnCertificate, server_credentials

IDENTITY = ca.Identity("labs-system", "mesh-control", "mesh-control-1", "u-0")
PROXY = ca.Identity("shop", "orders", "orders-1", "u-1")


class Control:
    """A gRPC server that answers with what it knows of who asks."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self.authority = ca.Authority(ca.new_root("root-1", self.now))
        self.own = OwnCertificate(lambda: self.authority, IDENTITY, now=lambda: self.now)
        self.server = grpc.server(ThreadPoolExecutor(2), options=SERVER_OPTIONS)

        def whoami(request: bytes, context: grpc.ServicerContext) -> bytes:
            return bytes(context.auth_context()["x509_pem_cert"][0])

        handler = grpc.unary_unary_rpc_method_handler(whoami)
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", {"Who": handler}),))
        self.port = self.server.add_secure_port("127.0.0.1:0", server_credentials(self.own))
        self.server.start()

    def ask(self, authority: ca.Authority | None, roots: str) -> ca.Identity:
        key = chain = None
        if authority:
            private = ca.new_key()
            chain = ca.pem(authority.issue(private.public_key(), PROXY, now=self.now)).encode()
            key = ca.key_pem(private).encode()
        options = (
            ("grpc.ssl_target_name_override", "mesh-control.labs-system.svc"),
            ("grpc.use_local_subchannel_pool", 1),
        )
        credentials = grpc.ssl_channel_credentials(roots.encode(), key, chain)
        with grpc.secure_channel(f"127.0.0.1:{self.port}", credentials, options) as channel:
            return ca.identity_of(channel.unary_unary("/t.T/Who")(b"", timeout=5))

    def refuses(self, authority: ca.Authority | None, roots: str) -> bool:
        with pytest.raises(grpc.RpcError) as caught:
            self.ask(authority, roots)
        return bool(caught.value.code() == grpc.StatusCode.UNAVAILABLE)


@pytest.fixture
def control() -> Iterator[Control]:
    made = Control()
    yield made
    made.server.stop(0).wait()


def test_who_asks_is_known_by_the_certificate_and_must_have_one(control: Control) -> None:
    roots = control.authority.roots_pem
    assert control.ask(control.authority, roots) == PROXY
    assert control.refuses(None, roots)
    foreign = ca.Authority(ca.new_root("root-1", control.now))
    assert control.refuses(foreign, roots)  # says the same of itself, but nobody here signed it


def test_a_rotation_of_the_root_breaks_nobody_and_ends_the_old_one(control: Control) -> None:
    old = control.authority
    control.authority = store.prepare(old, control.now)
    prepared = control.authority.roots_pem
    assert control.ask(old, old.roots_pem) == PROXY
    control.authority = store.switch(control.authority)
    assert control.ask(old, prepared) == PROXY
    assert control.ask(control.authority, prepared) == PROXY
    assert control.refuses(old, old.roots_pem)  # never heard of the next root: the server is unknown to it
    control.authority = store.finish(control.authority)
    assert control.ask(control.authority, control.authority.roots_pem) == PROXY
    assert control.refuses(old, prepared)


def test_it_is_renewed_at_half_its_life_with_a_new_key() -> None:
    now = [datetime.now(UTC)]
    authority = ca.Authority(ca.new_root("root-1", now[0]))
    own = OwnCertificate(lambda: authority, IDENTITY, now=lambda: now[0])
    first = own.current()
    certificate = x509.load_pem_x509_certificate(first.chain.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [
        "mesh-control.labs-system.svc",
        "mesh-control.labs-system.svc.cluster.local",
    ]
    assert ca.identity_of(certificate).uri == "spiffe://labs.example/ns/labs-system/sa/mesh-control"
    now[0] += timedelta(minutes=29)
    assert own.current() is first
    now[0] += timedelta(minutes=2)
    second = own.current()
    assert second.key != first.key
    assert second.not_after - first.not_after == timedelta(minutes=31)
    assert first.key not in repr(first)
