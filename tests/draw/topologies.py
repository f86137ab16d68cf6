"""Topologies to draw: a recorded one of five nodes, and made ones of any size; as records, and as JSON."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from labsupport.draw.topology.data import Topology, read

RECORDED = Path(__file__).parent / "data" / "topology.json"
ACCOUNTS = """
web cart inventory orders payments catalog search reviews users sessions mail stock prices tax shipping
recommendations fraud-detection audit ledger images media cdn-origin feed metrics billing invoices returns
coupons loyalty gift-cards
"""


def names() -> list[str]:
    return ACCOUNTS.split()


def recorded() -> Topology:
    return read(json.loads(RECORDED.read_text(encoding="utf-8")))


def made(count: int, seed: int = 1) -> Topology:
    return read(said(count, seed))


def said(count: int, seed: int = 1) -> dict[str, Any]:
    """A topology of `count` nodes: calls go mostly onwards, some back; some fail, some are plaintext."""
    chance = random.Random(seed)
    spaces = ["shop", "payments", "platform", "media"][: max(1, count // 10)] or ["shop"]
    known = names()
    accounts = [
        f"{known[n % len(known)]}{'' if n < len(known) else f'-{n // len(known) + 1}'}" for n in range(count)
    ]
    ids = [f"{spaces[n % len(spaces)]}/{account}" for n, account in enumerate(accounts)]
    nodes: list[dict[str, Any]] = []
    for number, name in enumerate(ids):
        proxies = chance.choice((1, 2, 2, 3))
        namespace, _, account = name.partition("/")
        nodes.append(
            {
                "id": name,
                "namespace": namespace,
                "account": account,
                "workloads": [account],
                "proxies": proxies,
            }
            | {"kind": "gateway" if number == 0 else "workload", "ready": proxies - (number % 17 == 9)}
        )
    nodes[-1] = {"id": "outside", "namespace": "", "account": "", "kind": "outside", "workloads": []}
    ids[-1] = "outside"
    edges = []
    for number in range(1, count):
        if number % 9 == 8 and number != count - 1:
            continue  # nobody calls it
        tier = number * 5 // count  # calls go at most five boxes deep, as in real systems
        callers = [each for each in range(number) if each * 5 // count == tier - 1] or [0]
        for caller in {chance.choice(callers) for _ in range(chance.choice((1, 1, 2, 3)))}:
            edges.append(_edge(chance, ids[caller], ids[number]))
    if count > 12:
        edges.append(_edge(chance, ids[9], ids[3]))
        edges.append(_edge(chance, ids[5], ids[5]))
    return {"at": 1_764_500_000.0, "seconds": 60, "nodes": nodes, "edges": edges, "lost": 0}


def _edge(chance: random.Random, source: str, target: str) -> dict[str, Any]:
    requests = int(10 ** chance.uniform(0.5, 4.5))
    errors = int(requests * chance.choice((0, 0, 0, 0, 0, 0.002, 0.04)))
    p50 = round(10 ** chance.uniform(0, 2), 1)
    return {
        "from": source, "to": target, "service": f"{target}/80", "protocol": "http", "mtls": target != "outside",
        "requests": requests, "rate": requests / 60, "errors": errors, "error_share": errors / requests,
        "denied": chance.choice((0,) * 12 + (7,)), "would_deny": 0, "limited": 0, "connections": 0, "bytes_out": 0,
        "bytes_in": 0, "p50_ms": p50, "p90_ms": p50 * 2, "p99_ms": p50 * 5, "in_flight": chance.randrange(4),
    }  # fmt: skip
