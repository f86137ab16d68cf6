"""AuthorizationPolicies in a real Envoy: it decides as `authorization.decide` says, on random policies and requests."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from labsupport.mesh import names
from labsupport.mesh.authorization import AUDIT, ENFORCE, Request, decide, resolved
from labsupport.mesh.model import Model
from labsupport.mesh.translate import inbound
from tests.mesh import samples
from tests.mesh.samples import Object
from tests.mesh.translate import rbac
from tests.mesh.translate.rbac import CALLERS, PORTS, Pods

SEED = int(os.environ.get("SEED", "1"))
SETS, REQUESTS = 30, 40
METHODS = ["GET", "POST", "DELETE"]
PATHS = ["/", "/*", "/stock", "/stock/*", "/stock/1", "/admin", "/admin*", "/a~b"]
ASKED = [
    "/", "/stock", "/stock/", "/stock/1", "/stock/1?x=/admin", "/STOCK", "/admin", "/admin/", "/administrator",
    "//admin", "/stock/../admin", "/stock/%2e%2e/admin", "/stock%2fadmin", "/stock%2Fadmin", "/stock;x=1",
    "/stock\\..\\admin", "/adm%69n", "/stock%5c1", "/th%C3%A9", "/stock/%20", "/stock/%c0%af", "/a%7Eb", "/%25admin",
    "/stock/%", "/Admin/x", "/stock/.", "/a//..//stock", "/stock/a|b",
]  # fmt: skip
HEADERS = [
    "x-tenant: a", "x-tenant: b", "x-tenant: b1", "x-tenant: A", "x_tenant: a", "x-other-tenant: a",
    "X-Tenant: a\r\nx-tenant: b", "x-tenant: a\r\nx-tenant: a", "x-tenant: b1\r\nx-tenant: c",
    "x-tenant: a,b", "x-other_tenant: a",
]  # fmt: skip


def some(chance: random.Random, values: list[Any], most: int = 2) -> list[Any]:
    return chance.sample(values, chance.randint(1, most))


def caller(chance: random.Random) -> Object:
    identities = ["shop/web", "shop/api", "shop/*", "*/web", "*/*", "spiffe://labs.example/ns/other/sa/web"]
    found = {}
    if chance.random() < 0.7:
        found["identities"] = some(chance, identities)
    if not found or chance.random() < 0.3:
        found["namespaces"] = some(chance, ["shop", "other", "none"])
    return found


def call(chance: random.Random) -> Object:
    header = {"name": chance.choice(["x-tenant", "x-other-tenant"]), "values": some(chance, ["a", "b", "b*"])}
    choices = {
        "methods": some(chance, METHODS),
        "paths": some(chance, PATHS),
        "ports": some(chance, list(PORTS)),
        "headers": [header],
    }
    return {key: choices[key] for key in some(chance, list(choices))}


def rule(chance: random.Random) -> Object:
    makers = {"from": caller, "notFrom": caller, "to": call, "notTo": call}
    shares = {"from": 0.5, "notFrom": 0.2, "to": 0.7, "notTo": 0.25}
    return {
        key: [make(chance) for _ in range(chance.randint(1, 2))]
        for key, make in makers.items()
        if chance.random() < shares[key]
    }


def policies(chance: random.Random) -> list[Object]:
    return [
        samples.policy(
            f"p{number}",
            *(rule(chance) for _ in range(chance.choice([0, 1, 1, 2]))),
            action=chance.choice(["Allow", "Allow", "Deny"]),
            mode=chance.choice(["Enforce", "Enforce", "Audit"]),
        )
        for number in range(chance.randint(1, 3))
    ]


def request(chance: random.Random, mark: str) -> tuple[str, Request, bytes]:
    """Who asks what of whom, and how that is written; as bytes on ports where that can be."""
    who = chance.choice(["", *CALLERS])
    identity = names.spiffe_id(*CALLERS[who]) if who else ""
    port = chance.choice(list(PORTS))
    if PORTS[port] == "tcp" or (PORTS[port] == "any" and chance.random() < 0.3):
        return who, Request(identity, port), f"{mark}\n".encode()
    method, path = chance.choice(METHODS), chance.choice(ASKED)
    header = chance.choice(["", *HEADERS])
    raw = f"{method} {path} HTTP/1.1\r\nhost: x\r\nx-mark: {mark}\r\nconnection: close\r\n"
    raw += f"{header}\r\n" if header else ""
    seen: dict[str, str] = {}
    for line in header.splitlines():
        name, _, value = line.partition(": ")
        seen[name.lower()] = f"{seen[name.lower()]},{value}" if name.lower() in seen else value
    return who, Request(identity, port, method, resolved(path), seen), f"{raw}\r\n".encode()


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    chance = random.Random(SEED)
    return {f"set-{number}": samples.model(*rbac.pod(), *policies(chance)) for number in range(SETS)}


@pytest.fixture(scope="module")
def pods(
    envoy_program: Path, tmp_path_factory: pytest.TempPathFactory, models: dict[str, Model]
) -> Iterator[Pods]:
    with rbac.running(envoy_program, tmp_path_factory.mktemp("rbac"), models) as found:
        yield found


def test_envoy_decides_as_the_model_says(pods: Pods, models: dict[str, Model]) -> None:
    chance = random.Random(SEED)
    counts: dict[tuple[bool, bool], int] = {}
    for name, model in models.items():
        held = model.policies_for(model.workloads[rbac.POD])
        marks = [f"{name}-{number}." for number in range(REQUESTS)]
        asking = [request(chance, mark) for mark in marks]
        with ThreadPoolExecutor(10) as pool:
            answers = [
                pool.submit(pods.ask, name, *each, mark) for mark, each in zip(marks, asking, strict=True)
            ]
        for (who, asked, raw), answer in zip(asking, answers, strict=True):
            wanted, said = decide(held, asked), answer.result()
            about = f"SEED={SEED} {name}: {held}\n{who or 'nobody'} asks {asked} as {raw!r}\n{wanted}\n{said}"
            assert said.allowed == said.reached == wanted.allowed, about
            if asked.method:
                if not wanted.allowed:
                    assert said.rule == (wanted.rule or "none"), about
                else:
                    would = not decide(held, asked, ENFORCE, AUDIT).allowed
                    assert said.would_refuse == would, about
            key = (bool(asked.method), wanted.allowed)
            counts[key] = counts.get(key, 0) + 1
    assert min(counts.values()) > 50, counts  # all four: HTTP and bytes, allowed and refused


def test_chains_of_bytes_change_only_with_what_is_decided_there() -> None:
    def chains(*policies: Object) -> dict[int | None, list[Object]]:
        model = samples.model(*rbac.pod(), *policies)
        return inbound.of_bytes(model, model.workloads[rbac.POD])

    def allowed(path: str) -> Object:
        return samples.policy("p", {"from": [{"identities": ["shop/web"]}]}, {"to": [{"paths": [path]}]})

    none = chains()
    assert not any(none.values())
    assert chains(allowed("/a")) == chains(allowed("/b")) != none
    of_port = chains(samples.policy("p", {"to": [{"ports": [9090]}]}, action="Deny"))
    assert [port for port in of_port if of_port[port] != none[port]] == [9090, None]
    assert chains(samples.policy("p", {"notTo": [{"ports": [9090]}]}, action="Deny"))[9090] == none[9090]
    assert chains(samples.policy("p", {"to": [{"paths": ["/a"]}]}, action="Deny"))[9090] != none[9090]
