"""The HTTP API over TLS, by the client that others use and by requests that nobody should send."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from labsupport.patience import patient
from labsupport.quorum import backups
from labsupport.quorum.client import Conflict, Missing, QuorumError, Unavailable
from tests.quorum.cluster import TOKENS, Quorum, running, until

Work = Callable[[Quorum], Awaitable[None]]


def run(tmp_path: Path, work: Work, size: int = 3, release: str = "2.0") -> None:
    async def all_of_it() -> None:
        async with running(tmp_path / "q", size, release) as quorum:
            await work(quorum)

    asyncio.run(all_of_it())


def call(
    quorum: Quorum, name: str, method: str, path: str, token: str = TOKENS.admin, **more: Any
) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
    session = requests.Session()
    session.trust_env = False
    return session.request(
        method,
        quorum.config.api(name) + path,
        headers=headers,
        verify=str(quorum.authority.file),
        allow_redirects=False,
        timeout=patient(10),
        **more,
    )


def test_a_client_finds_the_leader(tmp_path: Path) -> None:
    async def work(quorum: Quorum) -> None:
        leader = await quorum.leader()
        other = next(name for name in quorum.names if name != leader.pod)
        client = quorum.client(names=[other])
        assert await asyncio.to_thread(client.put, "a/b c", b"\x00\xff") == 1
        read = await asyncio.to_thread(client.get, "a/b c")
        assert (read.value, read.revision) == (b"\x00\xff", 1)
        assert await asyncio.to_thread(client.compare_and_set, "a/b c", b"2", 1) == 2
        with pytest.raises(Conflict) as conflict:
            await asyncio.to_thread(client.compare_and_set, "a/b c", b"3", 1)
        assert conflict.value.body["revision"] == 2
        with pytest.raises(Conflict):
            await asyncio.to_thread(client.compare_and_set, "a/b c", b"3", None)
        await asyncio.to_thread(client.delete, "a/b c")
        with pytest.raises(Missing):
            await asyncio.to_thread(client.get, "a/b c")

    run(tmp_path, work)


def test_a_client_outlives_its_leader(tmp_path: Path) -> None:
    async def work(quorum: Quorum) -> None:
        client = quorum.client()
        await asyncio.to_thread(client.put, "a", b"1")
        await quorum.stop((await quorum.leader()).pod)
        assert await asyncio.to_thread(client.put, "a", b"2") == 2
        await quorum.stop((await quorum.leader()).pod)
        client.timeout = 1.0
        with pytest.raises(Unavailable):
            await asyncio.to_thread(client.put, "a", b"3")
        assert (await asyncio.to_thread(lambda: client.get("a", stale=True))).value == b"2"

    run(tmp_path, work)


def test_a_write_that_comes_again_is_done_once(tmp_path: Path) -> None:
    async def work(quorum: Quorum) -> None:
        name = (await quorum.leader()).pod
        headers = {"X-Client": "me", "X-Sequence": "1"}
        body = {"value": base64.b64encode(b"1").decode()}
        answers = [
            await asyncio.to_thread(lambda: call(quorum, name, "PUT", "/v1/kv/a", json=body, headers=headers))
            for _ in range(3)
        ]
        assert [answer.json() for answer in answers] == [{"revision": 1}] * 3

    run(tmp_path, work)


def test_signatures_over_the_api(tmp_path: Path) -> None:
    async def work(quorum: Quorum) -> None:
        leader = await quorum.leader()
        client, name = quorum.client(), leader.pod
        with pytest.raises(QuorumError, match="no key yet"):
            await asyncio.to_thread(client.sign, b"m")
        wanted = {
            "ceremony": "uid/1",
            "threshold": 2,
            "holders": [f"{each:x}" for each in leader.state.members],
        }
        begun = await asyncio.to_thread(lambda: call(quorum, name, "POST", "/v1/admin/key", json=wanted))
        assert begun.status_code == 200, begun.text
        await until(lambda: leader.state.key.state == "ready")
        told = await asyncio.to_thread(client.sign, b"m")
        Ed25519PublicKey.from_public_bytes(told.public_key).verify(told.signature, b"m")
        assert len(told.signers) == 2
        assert await asyncio.to_thread(client.sign, b"m") == told, "the same message is the same request"
        status = await asyncio.to_thread(client.status, quorum.config.api(name))
        assert status["key"]["public"] == told.public_key.hex()
        assert status["key"]["holds_share"] is True
        assert sorted(status["key"]["holders"]) == quorum.names
        assert {each["name"] for each in status["voters"]} == set(quorum.names)
        assert all(each["reachable"] and each["caught_up"] for each in status["voters"])
        assert "seed" not in str(status)

    run(tmp_path, work)


def test_a_back_up_goes_into_a_new_store_only(tmp_path: Path) -> None:
    file = tmp_path / "nightly-1.quorum"

    async def save(quorum: Quorum) -> None:
        client = quorum.client(TOKENS.admin)
        for number in range(20):
            await asyncio.to_thread(client.put, f"k{number}", bytes([number]))
        told = await asyncio.to_thread(backups.backup, client, file)
        assert told["keys"] == 20
        assert await asyncio.to_thread(backups.backup, client, file) == told, "a back-up is not made twice"
        with pytest.raises(QuorumError, match="new one only"):
            await asyncio.to_thread(backups.restore, client, file, "nightly-1")

    async def take_over(quorum: Quorum) -> None:
        client = quorum.client(TOKENS.admin)
        for _ in range(2):
            await asyncio.to_thread(backups.restore, client, file, "nightly-1")
        assert (await asyncio.to_thread(client.get, "k7")).value == bytes([7])
        assert await asyncio.to_thread(client.put, "new", b"") == 21
        with pytest.raises(ValueError, match="nightly-1"):
            await asyncio.to_thread(backups.restore, client, file.with_name("none.quorum"), "none")
        (tmp_path / "bad.quorum").write_bytes(b"\x81")
        with pytest.raises(ValueError, match="no back-up"):
            await asyncio.to_thread(backups.restore, client, tmp_path / "bad.quorum", "bad")

    for name, work in (("one", save), ("two", take_over)):
        (tmp_path / name).mkdir()
        run(tmp_path / name, work)


@pytest.mark.parametrize(
    ("method", "path", "token", "body", "status", "told"),
    [
        ("GET", "/v1/status", "wrong", None, 401, "token"),
        ("GET", "/v1/kv/a", "", None, 401, "token"),
        ("GET", "/v1/admin/snapshot", TOKENS.client, None, 403, "admin token"),
        ("PUT", "/v1/kv/a", TOKENS.client, {}, 400, "value is missing"),
        ("PUT", "/v1/kv/a", TOKENS.client, {"value": "%"}, 400, "base64"),
        ("PUT", "/v1/kv/a", TOKENS.client, [], 400, "JSON object"),
        ("PUT", "/v1/kv/a", TOKENS.client, {"value": "A" * 100_000}, 422, "at most 65536 bytes"),
        ("PUT", "/v1/kv/" + "k" * 1025, TOKENS.client, {"value": ""}, 422, "1 to 1024 bytes"),
        ("POST", "/v1/kv/a/cas", TOKENS.client, {"value": "", "expected_revision": "x"}, 400, "number"),
        ("POST", "/v1/admin/bootstrap", TOKENS.admin, {"cluster": "other"}, 400, "other"),
        ("POST", "/v1/admin/bootstrap", TOKENS.admin, {"cluster": "uid", "members": []}, 409, "already"),
        (
            "POST",
            "/v1/admin/bootstrap",
            TOKENS.admin,
            {"cluster": "uid", "members": [{"id": "z"}]},
            400,
            "members",
        ),
        ("POST", "/v1/admin/members", TOKENS.admin, {}, 400, "add"),
        ("POST", "/v1/admin/key", TOKENS.admin, {"ceremony": "x"}, 400, "threshold"),
        (
            "POST",
            "/v1/admin/key",
            TOKENS.admin,
            {"ceremony": "x", "threshold": 2, "holders": ["1"]},
            409,
            "no members",
        ),
        ("POST", "/v1/admin/protocol", TOKENS.admin, {"version": 9}, 409, "not all speak"),
        ("GET", "/v1/nothing", TOKENS.client, None, 404, "Not Found"),
    ],
)
def test_what_is_refused_says_why(
    method: str, path: str, token: str, body: Any, status: int, told: str, refusing: tuple[Quorum, str, Any]
) -> None:
    quorum, name, in_loop = refusing
    answer = in_loop(lambda: call(quorum, name, method, path, token, json=body))
    assert (answer.status_code, told in answer.json()["error"]) == (status, True), answer.text
    assert answer.json()["fix"]


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One Quorum for all refusals, in an event loop that goes on while a request is made."""
    loop = asyncio.new_event_loop()
    quorum = Quorum(tmp_path_factory.mktemp("refusing") / "q", 3)
    try:
        loop.run_until_complete(quorum.found())
        name = loop.run_until_complete(quorum.leader()).pod
        yield quorum, name, lambda work: loop.run_until_complete(asyncio.to_thread(work))
    finally:
        for each in list(quorum.members):
            loop.run_until_complete(quorum.stop(each))
        loop.close()


def test_the_protocol_rises_when_all_speak_it(tmp_path: Path) -> None:
    async def work(quorum: Quorum) -> None:
        name = (await quorum.leader()).pod

        async def ask(version: int) -> requests.Response:
            body = {"version": version}
            return await asyncio.to_thread(
                lambda: call(quorum, name, "POST", "/v1/admin/protocol", json=body)
            )

        assert (await ask(2)).status_code == 409
        followers = [each for each in quorum.names if each != name]
        for each in followers:
            await quorum.stop(each)
            await quorum.start(each, "1.1")
        assert (await ask(2)).status_code == 409, "the leader itself does not speak it"
        await quorum.stop(name)
        await quorum.start(name, "1.1")
        lines = [member.transport for member in quorum.members.values()]
        await until(lambda: all(each.connected for line in lines for each in line.connections().values()))
        name = (await quorum.leader()).pod
        assert (await ask(2)).status_code == 200
        await until(lambda: all(m.state.protocol == 2 for m in quorum.members.values()))
        assert (await ask(1)).status_code == 422, "never lowered"

    run(tmp_path, work, release="1.0")


def test_probes_need_no_token(tmp_path: Path) -> None:
    async def work(quorum: Quorum) -> None:
        name = (await quorum.leader()).pod
        assert (await asyncio.to_thread(lambda: call(quorum, name, "GET", "/healthz", ""))).status_code == 200
        assert (await asyncio.to_thread(lambda: call(quorum, name, "GET", "/readyz", ""))).status_code == 200
        new = await quorum.start("demo-3")
        answer = await asyncio.to_thread(lambda: call(quorum, new.pod, "GET", "/readyz", ""))
        assert (answer.status_code, answer.json()["reason"]) == (503, "waiting to be taken into a Quorum")
        await quorum.stop("demo-3")
        await quorum.start("demo-3", "1.1-broken")
        answer = await asyncio.to_thread(lambda: call(quorum, new.pod, "GET", "/readyz", ""))
        assert "never gets ready" in answer.json()["reason"]

    run(tmp_path, work)
