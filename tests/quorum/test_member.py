"""Members on loopback: a leader, writes that stay, a key that they make together, and who cheats is named."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from labsupport.patience import patient
from labsupport.quorum import commands, leading, status
from labsupport.quorum.cheats import CHEATS
from labsupport.quorum.commands import Conflict, Done
from labsupport.quorum.consensus import Unknown
from labsupport.quorum.keys.frost import PublicKeyPackage
from labsupport.quorum.member import Founder, Member
from labsupport.quorum.raft.records import NotLeader, Refused
from labsupport.quorum.wire.transport import Declined
from tests.quorum.cluster import Quorum, running, until

TIMEOUT = patient(10)


async def put(member: Member, key: str, value: bytes, **more: object) -> commands.Result:
    assert member.consensus
    return await member.consensus.propose(commands.Put(key, value, **more), TIMEOUT)  # type: ignore[arg-type]


async def done(step: Callable[[], Awaitable[str]], wanted: str) -> None:
    """Ask again until it is done, as the operator does."""

    async def asked() -> None:
        while True:
            try:
                if await step() == wanted:
                    return
            except Refused:
                pass
            await asyncio.sleep(0.02)

    await asyncio.wait_for(asked(), TIMEOUT)


async def make_key(quorum: Quorum, name: str = "first", threshold: int = 2) -> None:
    leader = await quorum.leader()
    ids = tuple(sorted(leader.state.members))
    assert isinstance(await leading.hold_ceremony(leader, name, threshold, ids), Done)
    await until(lambda: leader.state.ceremony is None)


def public_key(member: Member) -> bytes:
    return PublicKeyPackage.from_bytes(member.state.key.public).verifying_key


def test_writes_reach_all_and_outlive_a_restart(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path / "q") as quorum:
            leader = await quorum.leader()
            assert await put(leader, "a", b"1") == Done(1)
            assert await put(leader, "a", b"2", expected=7) == Conflict(1)
            session = commands.Session("client", 1)
            assert await put(leader, "b", b"x", session=session) == Done(2)
            assert await put(leader, "b", b"x", session=session) == Done(2), "done once"
            await until(lambda: all(m.state.revision == 2 for m in quorum.members.values()))
            digests = {m.state.digest for m in quorum.members.values() if m.state.index == leader.state.index}
            assert len(digests) == 1
            for name in list(quorum.members):
                await quorum.stop(name)
            for name in quorum.names:
                await quorum.start(name)
            leader = await quorum.leader()
            assert leader.consensus
            store = await leader.consensus.read(TIMEOUT)
            assert {key: value.value for key, value in store.state.values.items()} == {"a": b"1", "b": b"x"}

    asyncio.run(work())


def test_another_leads_when_the_leader_is_gone(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path / "q") as quorum:
            first = await quorum.leader()
            await put(first, "a", b"1")
            quorum.connect(apart=[first.pod])
            others = [m for m in quorum.members.values() if m is not first]
            await until(lambda: any(m.consensus and m.consensus.leads for m in others))
            second = next(m for m in others if m.consensus and m.consensus.leads)
            assert await put(second, "a", b"2") == Done(2)
            assert first.consensus
            await until(lambda: first.consensus and not first.consensus.leads)
            with pytest.raises(NotLeader):
                await first.consensus.read(TIMEOUT)
            quorum.connect()
            await until(lambda: first.state.values["a"].value == b"2")

    asyncio.run(work())


def test_one_of_three_alone_promises_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path / "q") as quorum:
            leader = await quorum.leader()
            quorum.connect(apart=[leader.pod])
            with pytest.raises((Unknown, NotLeader)):
                await leader.consensus.propose(commands.Put("a", b"lost"), 0.5)  # type: ignore[union-attr]
            quorum.connect()
            await quorum.leader()
            await until(lambda: len({m.state.digest for m in quorum.members.values()}) == 1)

    asyncio.run(work())


def test_the_list_of_the_first_members_is_decided_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path / "q") as quorum:
            member = quorum.members["demo-0"]
            same = tuple(Founder(m.volume.id, name, m.identity) for name, m in quorum.members.items())
            await member.found(same)
            with pytest.raises(Refused, match="already"):
                await member.found(same[:2])

    asyncio.run(work())


def test_one_call_founds_all(tmp_path: Path) -> None:
    async def work() -> None:
        quorum = Quorum(tmp_path / "q", 3)
        try:
            await quorum.found(["demo-1"])
            leader = await quorum.leader()
            assert leader.pod == "demo-1", "the others had nothing to stand for election with"
            assert await put(leader, "a", b"1") == Done(1)
            await until(lambda: all(m.state.revision == 1 for m in quorum.members.values()))
        finally:
            for name in list(quorum.members):
                await quorum.stop(name)

    asyncio.run(work())


def test_a_key_that_nobody_holds_signs(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path / "q", 5) as quorum:
            await make_key(quorum, threshold=3)
            leader = await quorum.leader()
            key = leader.state.key
            assert (key.state, key.epoch, key.threshold, len(key.holders)) == ("ready", 1, 3, 5), key.failure
            assert key.blamed == ()
            assert isinstance(await leading.sign(leader, "r1", b"message"), Done)
            await make_key(quorum, "first", 3)
            assert leader.state.key.epoch == 1, "the same ceremony is not held twice"
            for name in [n for n in quorum.names if n != leader.pod][:2]:
                await quorum.stop(name)
            assert isinstance(await leading.sign(leader, "r2", b"another"), Done)
            public = Ed25519PublicKey.from_public_bytes(public_key(leader))
            for request, message in (("r1", b"message"), ("r2", b"another")):
                public.verify(leader.state.signatures[request].signature, message)
                assert len(leader.state.signatures[request].signers) == 3
            with pytest.raises(InvalidSignature):
                public.verify(leader.state.signatures["r1"].signature, b"another")

    asyncio.run(work())


def test_a_member_joins_and_another_leaves_under_the_same_key(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path / "q") as quorum:
            await make_key(quorum)
            leader = await quorum.leader()
            before = public_key(leader)
            new = await quorum.start("demo-3")
            await done(lambda: leading.admit(leader, Founder(new.volume.id, "demo-3", new.identity)), "voter")
            gone = next(n for n in quorum.names if n != leader.pod)
            await done(lambda: leading.dismiss(leader, quorum.members[gone].volume.id), "gone")
            assert leader.consensus
            holders = tuple(sorted(leader.consensus.configuration.voters))
            assert isinstance(await leading.hold_ceremony(leader, "second", 2, holders), Done)
            await until(lambda: leader.state.key.epoch == 2)
            assert public_key(leader) == before
            await until(lambda: new.state.key.epoch == 2)
            assert isinstance(await leading.sign(leader, "r", b"m"), Done)
            Ed25519PublicKey.from_public_bytes(before).verify(leader.state.signatures["r"].signature, b"m")
            await until(lambda: not list((quorum.directory / leader.pod / "shares").glob("epoch-1*")))

    asyncio.run(work())


def test_who_restarts_in_a_ceremony_stays_out_of_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path / "q") as quorum:
            leader = await quorum.leader()
            other = next(n for n in quorum.names if n != leader.pod)
            ids = tuple(sorted(leader.state.members))
            await leading.hold_ceremony(leader, "first", 2, ids)
            await until(lambda: (quorum.directory / other / "ceremony").exists())
            await quorum.stop(other)
            await quorum.start(other)
            await until(lambda: leader.state.ceremony is None)
            key = leader.state.key
            assert key.state == "ready", key.failure
            number = leader.state.members[quorum.members[other].volume.id].number
            silent = [what for who, what in key.blamed if who == number]
            assert number in key.holders or silent == ["Silence"]
            assert not [who for who, what in key.blamed if who != number]
            assert not [what for _, what in key.blamed if what == "Equivocation"]

    asyncio.run(work())


@pytest.mark.parametrize(
    ("cheat", "accusation"),
    [
        ("wrong-share", "WrongShare"),
        ("wrong-commitment", "WrongCommitment"),
        ("equivocation", "Equivocation"),
        ("silence", "Silence"),
        ("false-complaint", "FalseComplaint"),
        ("wrong-partial-signature", "WrongPartialSignature"),
    ],
)
def test_each_cheat_is_named_and_left_out(cheat: str, accusation: str, tmp_path: Path) -> None:
    async def work() -> None:
        quorum = Quorum(tmp_path / "q", 5)
        behaviour = CHEATS[cheat]()
        quorum.begins["demo-2"], quorum.signers["demo-2"] = behaviour.begin, behaviour.signer
        try:
            await quorum.found()
            await make_key(quorum, threshold=3)
            leader = await quorum.leader()
            assert leader.state.key.state == "ready", leader.state.key.failure
            number = leader.state.members[quorum.members["demo-2"].volume.id].number
            for attempt in range(5):  # a threshold of them signs: until the cheat is among those
                assert isinstance(await leading.sign(leader, f"r{attempt}", b"m"), Done)
                if leader.state.key.blamed:
                    break
                at_rest = sorted(leader.state.key.holders, key=lambda each: each != number)
                leader.state.key = msgspec.structs.replace(leader.state.key, holders=tuple(at_rest))
            assert leader.state.key.blamed == ((number, accusation),)
            if accusation != "WrongPartialSignature":
                assert number not in leader.state.key.holders
            assert isinstance(await leading.sign(leader, "last", b"last"), Done)
            assert number not in leader.state.signatures["last"].signers
            Ed25519PublicKey.from_public_bytes(public_key(leader)).verify(
                leader.state.signatures["last"].signature, b"last"
            )
        finally:
            for name in list(quorum.members):
                await quorum.stop(name)

    asyncio.run(work())


def test_a_full_disk_moves_leadership_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with running(tmp_path / "q") as quorum:
            first = await quorum.leader()
            assert await put(first, "a", b"1") == Done(1)
            full = True

            def no_room(data: bytes) -> None:
                if full:
                    raise OSError(errno.ENOSPC, "No space left on device")
                written(data)

            log = first._storage._log
            assert log is not None
            written = log.write
            monkeypatch.setattr(log, "write", no_room)
            with pytest.raises((NotLeader, Unknown)):
                await put(first, "a", b"not promised")
            others = [m for m in quorum.members.values() if m is not first]
            await until(lambda: any(m.consensus and m.consensus.leads for m in others))
            second = next(m for m in others if m.consensus and m.consensus.leads)
            assert await put(second, "a", b"2") == Done(2)
            assert status.status(first)["disk"]["full"] is True
            assert "disk is full" in " ".join(status.problems(first))
            with pytest.raises(NotLeader):
                await put(first, "a", b"3")
            full = False
            await until(lambda: first.state.values["a"].value == b"2" and not first.consensus.disk_full)
            assert status.problems(first) == []

    asyncio.run(work())


def test_a_member_whose_state_differs_stops_and_says_so(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path / "q") as quorum:
            leader = await quorum.leader()
            leads = leader.consensus
            assert leads
            for version in (2, 3):
                assert isinstance(await leads.propose(commands.SetProtocol(version), TIMEOUT), Done)
            one, other = (each for each in quorum.members.values() if each is not leader)
            one._on_message(other.volume.id, leading.Digest(one.state.index, b"wrong"))
            await put(leader, "a", b"1")
            await until(lambda: one.state.revision == 1)
            assert one.phase == "member", "it was not the leader that said so"
            one.state.revision += 1  # as a flipped bit would
            await put(leader, "a", b"2")
            await until(lambda: one.phase == "stopped")
            assert "differs from the leader's" in " ".join(status.problems(one))
            assert "differs" in status.unready(one)
            assert await put(leader, "a", b"3") == Done(3), "the others go on"

    asyncio.run(work())


def test_a_release_that_does_not_speak_the_quorums_protocol_stops_and_says_so(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path / "q", release="1.1") as quorum:
            leader = await quorum.leader()
            assert leader.consensus
            assert isinstance(await leader.consensus.propose(commands.SetProtocol(2), TIMEOUT), Done)
            name = next(each for each in quorum.names if each != leader.pod)
            await until(lambda: quorum.members[name].state.protocol == 2)
            await quorum.stop(name)
            old = await quorum.start(name, "1.0")
            await until(lambda: old.phase == "stopped")
            assert "protocol is 2, release 1.0 speaks 1 to 1" in " ".join(status.problems(old))
            await quorum.stop(name)
            new = await quorum.start(name, "1.1")
            await put(leader, "a", b"1")
            await until(lambda: new.state.revision == 1)

    asyncio.run(work())


def test_whoever_waits_for_a_change_leaves_the_others_their_turn(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(tmp_path / "q") as quorum:
            leader = await quorum.leader()
            leader._changed()  # what happened before is not waited for
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            task = asyncio.ensure_future(other())
            with pytest.raises(Declined, match="not yet at"):
                await leader._applied(leader.state.index + 1_000)
            task.cancel()
            assert turns > 100

    asyncio.run(work())
