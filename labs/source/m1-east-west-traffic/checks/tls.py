"""m1-tls: whom the learner's context believes, in real handshakes, and a purchase over TLS on the cluster."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache

from labsupport.course.certificates import Authority, Issued
from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.shop.handshake import greet

from .shop import DEPLOYED, Object, buy, environment_of, load, own_errors, own_orders


@cache
def _encounters() -> tuple[str, tuple[tuple[str, Issued], ...]]:
    """An authority's certificate, and whom its client meets under the name payments."""
    ours, stranger = Authority("the shop"), Authority("the shop")
    alone = Authority("payments")
    return ours.certificate, (
        ("right", ours.issue("payments", "payments.shop.svc")),
        ("name", ours.issue("inventory")),
        ("name", ours.issue("payments.example")),
        ("authority", stranger.issue("payments")),
        ("authority", ours.issue("payments", signer=stranger)),
        ("authority", alone.issue("payments")),
        ("time", ours.issue("payments", since=timedelta(days=-2), until=timedelta(days=-1))),
        ("right", ours.issue("orders", "payments")),
    )


def meet(function: Callable[..., object], authority: str, servers: Sequence[tuple[str, Issued]]) -> list[str]:
    """How a client with the learner's context greets each server: "" or why it refused; one word if it is no
    context.
    """
    client = function(authority)
    if not isinstance(client, ssl.SSLContext):
        return [f"type {type(client).__name__}"]
    seen = []
    for _, issued in servers:
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(issued.certificate + issued.key)
            file.flush()
            server.load_cert_chain(file.name)
        try:
            seen.append(greet(client, server, "payments"))
        except (ssl.SSLError, ValueError) as error:
            seen.append(f"refused: {error}")
    return seen


def tls_offline(probe: Probe) -> Outcome:
    """m1-tls, without the cluster: real handshakes with the right server and with impostors."""
    authority, servers = _encounters()
    with probe.function("trust", parameters=1) as trust:
        seen = trust.drive(meet, authority, servers, about="the certificate of an authority, as PEM text")
    decided = f"{len(servers)} handshakes with servers that the notebook does not show"
    if len(seen) == 1:
        return not_yet(
            "m1-tls/no-context",
            f"`trust` returned something of the {seen[0]}.",
            "what trust returns",
            "The client needs an `ssl.SSLContext`.",
        )
    for (kind, _), answer in zip(servers, seen, strict=True):
        if kind == "right" and answer:
            return not_yet(
                "m1-tls/refuses-the-right-one",
                f"The real payments, with a certificate of the authority that `trust` was given, was {answer}.",
                decided,
                "Whose certificates does your context believe? It is to be the authority in the parameter alone.",
            )
    accepted = [
        kind for (kind, _), answer in zip(servers, seen, strict=True) if kind != "right" and not answer
    ]
    if "authority" in accepted:
        return not_yet(
            "m1-tls/any-authority",
            "A server whose certificate was signed by a stranger was believed. Encrypted, and with whom?",
            decided,
            "Is the certificate verified at all? `context.verify_mode` says.",
        )
    if "name" in accepted:
        return not_yet(
            "m1-tls/any-name",
            "A server with a good certificate for another name was taken for payments. Each service of the shop has "
            "such a certificate.",
            decided,
            "Who compares the name that was called with the names in the certificate? `context.check_hostname` says.",
        )
    if "time" in accepted:
        return not_yet(
            "m1-tls/expired",
            "A certificate that ended yesterday was believed.",
            decided,
            "Which flag of the context leaves the time out?",
        )
    refused = sum(bool(answer) for answer in seen)
    return passed(f"The right servers were believed, {refused} impostors refused.", decided)


def tls(probe: Probe) -> Outcome:
    """m1-tls, on the cluster: payments speaks TLS and nothing else, and the learner's orders gets through to it."""
    service = probe.get("v1", "Service", "payments")
    ports = {port["port"] for port in (service or {}).get("spec", {}).get("ports", [])}
    if ports != {443} or "TLS_CERTIFICATE" not in environment_of(
        probe.get("apps/v1", "Deployment", "payments")
    ):
        return not_yet(
            "m1-tls/payments-in-the-clear",
            "payments still speaks without TLS.",
            "Service payments, spec.ports; Deployment payments, env",
            "Run the cells that give payments its certificate.",
        )
    own_orders(probe)
    if not environment_of(_own_deployment(probe)).get("PAYMENTS", "").startswith("https://"):
        return not_yet(
            "m1-tls/orders-in-the-clear",
            "Your orders calls payments without TLS.",
            f"Deployment {DEPLOYED}, env PAYMENTS",
            "Run the cell that deploys `trust`.",
        )
    order, bought = buy(probe)
    if not bought:
        return not_yet(
            "m1-tls/purchase-failed",
            f"A purchase failed: {order.get('error') or order}.{own_errors(probe)}",
            "GET http://web/buy/tea",
            "Is the authority that signed payments' certificate the one that `trust` was given when you deployed it? "
            "Run the cells of the exercise again, in their order.",
        )
    clear = load(probe, "http://payments:443/ledger", requests=1, timeout=1)
    if clear.ok:
        return not_yet(
            "m1-tls/payments-in-the-clear",
            "payments answered a request without TLS.",
            "GET http://payments:443/ledger",
            "Run the cells that give payments its certificate.",
        )
    return passed(
        f"A purchase went through {order['charge']['pod']} over TLS, and a request in the clear got no answer.",
        "GET http://web/buy/tea; GET http://payments:443/ledger",
    )


def _own_deployment(probe: Probe) -> Object | None:
    return probe.get("apps/v1", "Deployment", DEPLOYED)
