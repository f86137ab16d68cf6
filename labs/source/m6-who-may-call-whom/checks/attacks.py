"""The attacks on the ledger, and which of them get through."""

from __future__ import annotations

from labsupport.course.exercise import Probe
from labsupport.course.lessons.callers import Call, call

from .shop import made

FORGED = "x-forwarded-client-cert: URI=spiffe://labs.example/ns/{namespace}/sa/orders"
TOKEN = "authorization: Bearer a.stolen.token"  # noqa: S105 (nobody's)
HOST = "host: orders"

# The words in the notebook -> who does what.
ATTACKS: dict[str, tuple[str, str, str]] = {
    "as it is": ("intern", "GET http://payments/ledger", ""),
    "a double slash": ("intern", "GET http://payments//ledger", ""),
    "a dot segment": ("intern", "GET http://payments/stock/../ledger", ""),
    "a parameter in the path": ("intern", "GET http://payments/ledger;v=1", ""),
    "a forged header": ("intern", "GET http://payments/ledger", FORGED),
    "a stolen token": ("intern", "GET http://payments/ledger", TOKEN),
    "another host name": ("intern", "GET http://payments/ledger", HOST),
    "another method": ("intern", "DELETE http://payments/ledger", ""),
    "another path": ("intern", "GET http://payments/counters", ""),
    "no name at all": ("stranger", "GET http://payments/ledger", ""),
}


def attacks(probe: Probe) -> dict[str, Call]:
    """Each as a call."""
    return {
        name: call(caller, request, header.format(namespace=probe.namespace))
        for name, (caller, request, header) in ATTACKS.items()
    }


def getting_through(probe: Probe) -> set[str]:
    """The attacks that the application saw, just now."""
    by_name = attacks(probe)
    answers = made(probe, by_name.values())
    return {name for name, answer in zip(by_name, answers, strict=True) if answer.through}
