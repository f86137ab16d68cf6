"""Real members under five kinds of fault, and five clients: what they saw must have been one store.

QUORUM_OPERATIONS sets how many operations (default: enough for each kind of fault to come a few times).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from labsupport.patience import patient
from labsupport.quorum import linearizability
from labsupport.quorum.client import Client
from labsupport.quorum.consensus import Consensus
from labsupport.quorum.linearizability import Verdict
from labsupport.quorum.raft.records import Refused
from labsupport.quorum.store import Store
from labsupport.quorum.workload import Workload
from tests.quorum.cluster import Quorum, running

OPERATIONS = int(os.environ.get("QUORUM_OPERATIONS", "400"))


async def crash(quorum: Quorum, random: Random) -> None:
    """One member ends and comes back."""
    name = random.choice(quorum.names)
    await quorum.stop(name)
    await asyncio.sleep(random.uniform(0.05, 0.6))
    await quorum.start(name)


async def part(quorum: Quorum, random: Random) -> None:
    """The leader, or somebody else, alone."""
    leader = next(
        (m.pod for m in quorum.members.values() if m.consensus and m.consensus.leads), quorum.names[0]
    )
    quorum.connect(apart=[random.choice([leader, random.choice(quorum.names)])])
    await asyncio.sleep(random.uniform(0.3, 1.2))
    quorum.connect()


async def lose(quorum: Quorum, random: Random) -> None:
    """A third of all messages are lost."""
    for member in quorum.members.values():
        member.transport.faults = lambda _to, _message: None if random.random() < 0.3 else 0.0
    await asyncio.sleep(random.uniform(0.2, 0.8))
    quorum.connect()


async def delay(quorum: Quorum, random: Random) -> None:
    """Messages come late, and in another order."""
    for member in quorum.members.values():
        member.transport.faults = lambda _to, _message: random.uniform(0.0, 0.15)
    await asyncio.sleep(random.uniform(0.2, 0.8))
    quorum.connect()


async def hand_over(quorum: Quorum, random: Random) -> None:
    """Leadership goes to another."""
    for member in quorum.members.values():
        if member.consensus and member.consensus.leads:
            others = sorted(member.consensus.configuration.voters - {member.volume.id})
            with suppress(Refused):
                member.consensus.transfer(random.choice(others))


FAULTS: list[Callable[[Quorum, Random], Awaitable[None]]] = [crash, part, lose, delay, hand_over]


async def storm(tmp_path: Path, operations: int, seed: int) -> tuple[Verdict, int]:
    """The verdict on a history, and how many faults there were in it."""
    random = Random(seed)
    faults = 0
    tmp_path.mkdir(exist_ok=True)
    async with running(tmp_path / "q") as quorum:

        def connect() -> Client:
            client = quorum.client()
            client.timeout = patient(3.0)
            return client

        # As many operations as asked for, and at least until each kind of fault came twice.
        workload = Workload(connect, operations=100 * operations, seed=seed, pause=0.01)
        clients = asyncio.ensure_future(asyncio.to_thread(workload.run))
        while not clients.done() and (len(workload.history) < operations or faults < 2 * len(FAULTS)):
            await FAULTS[faults % len(FAULTS)](quorum, random)
            faults += 1
            await asyncio.wait({clients}, timeout=random.uniform(0.1, 0.4))
        workload.stop.set()
        await clients
    return linearizability.check(workload.history), faults


def test_what_clients_saw_was_one_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verdict, faults = asyncio.run(storm(tmp_path, OPERATIONS, 1))
    with capsys.disabled():
        print(f"\n{verdict}; {faults} faults")
    assert verdict.linearizable, str(verdict)
    assert faults >= 2 * len(FAULTS)
    assert verdict.operations >= OPERATIONS


def test_reads_that_are_not_confirmed_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof that the test can fail: members that answer reads from what they have, without asking the others."""

    async def stale(self: Consensus, timeout: float) -> Store:
        return self.store

    monkeypatch.setattr(Consensus, "read", stale)
    for seed in range(4):
        verdict, _ = asyncio.run(storm(tmp_path / str(seed), OPERATIONS // 2, seed))
        if not verdict.linearizable:
            assert len(verdict.failing) <= 10, str(verdict)
            return
    pytest.fail("four storms, and no stale read was found")
