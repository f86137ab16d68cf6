"""A member's part in making the key, and in handing it on: follows the ceremony in the log, speaks, keeps its share.

Whoever restarts in the middle stays out of that ceremony: it would deal a second time, and the others could not tell it
from one that says two things. The note of that is on disk before the first word.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from labsupport.quorum import commands
from labsupport.quorum.disk import Volume
from labsupport.quorum.keys import dkg, reshare, share
from labsupport.quorum.keys.deal import Plan
from labsupport.quorum.keys.dkg import Ceremony, CeremonyFailed
from labsupport.quorum.keys.frost import KeyPackage
from labsupport.quorum.keys.identity import Identity
from labsupport.quorum.state import CeremonyState, State

log = logging.getLogger(__name__)

ROUND = 2.0  # seconds that the leader waits for members that have not spoken, before it has the round closed


# Has a command put into the log, here or by way of the leader; nothing is waited for beyond that.
Say = Callable[[commands.Broadcast | commands.Report], Awaitable[None]]
Begin = Callable[[Plan, Identity, KeyPackage | None], Ceremony]


def begin(plan: Plan, identity: Identity, key: KeyPackage | None) -> Ceremony:
    """The member's first round: of a new key, or of one that is handed on. Raises ValueError."""
    return dkg.start(plan, identity) if plan.previous is None else reshare.start(plan, identity, key)


class Participant:
    """What one member does about the ceremonies that it sees in the state."""

    def __init__(self, volume: Volume, say: Say, begin: Begin = begin) -> None:
        self._volume = volume
        self._say = say
        self._begin = begin
        self._mine: Ceremony | None = None
        self._session = b""  # of the ceremony that this member is in, or has decided to stay out of
        self._round = 0  # that `_mine` is in
        self._said = 0  # the last round in which this member spoke
        self._tidied = 0  # before which epoch no shares are left

    async def follow(self, state: State, number: int | None) -> None:
        """Do what the state asks of the member with this number."""
        running = state.ceremony
        if running is None:
            self._mine = None
            self._tidy(state)
        elif number in running.members and number is not None:
            if running.session != self._session:
                await asyncio.to_thread(self._enter, state, running, number)
            if self._mine is not None:
                await self._take_part(running, number)

    def _enter(self, state: State, running: CeremonyState, number: int) -> None:
        self._session, self._mine, self._round, self._said = running.session, None, 1, 0
        if not self._volume.enter(running.session):
            log.warning("restarted during the ceremony %s: this member stays out of it", running.ceremony)
            return
        plan = Plan.from_bytes(running.plan)
        identity = Identity(number, self._volume.seed)
        key = self.key(state) if plan.previous is not None else None
        try:
            self._mine = self._begin(plan, identity, key)
        except ValueError as error:
            log.warning("cannot take part in the ceremony %s: %s", running.ceremony, error)

    async def _take_part(self, running: CeremonyState, number: int) -> None:
        while self._round < running.round and self._mine is not None and self._round <= running.rounds:
            said = running.said.get(self._round, {})
            others = [body for each, bodies in said.items() if each != number for body in bodies]
            try:
                self._mine = await asyncio.to_thread(self._mine.advance, others)
            except CeremonyFailed as failed:
                await self._report_failure(running, number, failed)
                return
            self._round += 1
        if self._mine is None or self._said >= self._round:
            return
        if self._round <= running.rounds:
            await self._say(commands.Broadcast(running.session, number, self._round, self._mine.outgoing))
        else:
            await self._report(running, number)
        self._said = self._round

    async def _report(self, running: CeremonyState, number: int) -> None:
        result = self._mine.result if self._mine else None
        if result is None:
            raise AssertionError("the rounds are over, and there is neither a result nor a failure")
        if result.key is not None:
            await asyncio.to_thread(self._keep, result.key)
        blamed = tuple(sorted((each.culprit, type(each).__name__) for each in result.accusations))
        await self._say(
            commands.Report(
                running.session,
                number,
                result.transcript,
                result.public.to_bytes(),
                result.key is not None,
                blamed=blamed,
            )
        )

    async def _report_failure(self, running: CeremonyState, number: int, failed: CeremonyFailed) -> None:
        blamed = tuple(sorted({(each.culprit, type(each).__name__) for each in failed.accusations}))
        await self._say(commands.Report(running.session, number, b"", failure=str(failed), blamed=blamed))
        self._mine = None  # it is said: what raised on the way is said again

    def _keep(self, key: KeyPackage) -> None:
        """On disk before anybody is told. A share of this epoch that is there is of an attempt that failed."""
        epoch = key.public.epoch
        if epoch in share.epochs(self._volume.shares) and share.load(self._volume.shares, epoch) != key:
            self._volume.discard(epoch)
        share.save(self._volume.shares, key)

    def _tidy(self, state: State) -> None:
        """Shares of epochs before the one that is in force are of no use to anybody but a thief."""
        if state.key.state == "ready" and state.key.epoch > self._tidied:
            share.forget(self._volume.shares, state.key.epoch)
            self._tidied = state.key.epoch

    def key(self, state: State) -> KeyPackage | None:
        """This member's share of the key that is in force, if it has one."""
        return held(self._volume.shares, state)


def held(directory: Path, state: State) -> KeyPackage | None:
    """The share in `directory` of the key that is in force. Raises ShareError if the file is there and unusable."""
    if not state.key.epoch or state.key.epoch not in share.epochs(directory):
        return None
    key = share.load(directory, state.key.epoch)
    return key if key.public.to_bytes() == state.key.public else None
