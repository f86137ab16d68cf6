"""A member in a Pod: its certificate from the cluster, tokens from a Secret, its API, and a good end."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.quorum.api import Api, Tokens
from labsupport.quorum.cheats import CHEATS, honest
from labsupport.quorum.configuration import Config
from labsupport.quorum.disk import open_volume
from labsupport.quorum.member import Member
from labsupport.quorum.releases import Release
from labsupport.quorum.wire import certificate, tls

log = logging.getLogger(__name__)

AGAIN = 5.0  # seconds until a certificate that could not be had is asked for again
HAND_OVER = 1.0  # seconds for another to take leadership before this member ends


class InPod:
    """Everything that runs in a member's Pod."""

    def __init__(
        self,
        config: Config,
        pod: str,
        release: Release,
        data: Path,
        tokens: Path,
        authority: Path,
        *,
        cheat: str = "",
    ) -> None:
        if cheat and cheat not in CHEATS:
            raise ValueError(f"no cheat {cheat!r}: there are {', '.join(sorted(CHEATS))}")
        self.config, self.pod = config, pod
        self.volume = open_volume(data)
        self.files = certificate.files(self.volume.tls, authority)
        self._release, self._tokens, self._cheat = release, tokens, cheat
        self._renewing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Get a certificate if there is none, then run."""
        while certificate.due(self.files) <= 0:
            await self._ask()
        behaviour = CHEATS[self._cheat]() if self._cheat else honest()
        self.member = Member(
            self.config,
            self.pod,
            self.volume,
            self.files,
            self._release,
            begin=behaviour.begin,
            signer=behaviour.signer,
        )
        self.context = tls.server(self.files, clients_certified=False)
        self.api = Api(self.member, self.tokens)
        await self.member.start()
        await self.api.start(self.config.listen, self.config.api_port, self.context)
        self._renewing = asyncio.ensure_future(self._renew())
        log.info("member %x of %s, release %s", self.volume.id, self.config.name, self._release.name)

    async def stop(self) -> None:
        """Hand leadership over, if it is here, and end."""
        if self._renewing is not None:
            self._renewing.cancel()
        await hand_over(self.member)
        await self.api.stop()
        await self.member.stop()
        self.volume.close()

    def tokens(self) -> Tokens:
        """As the Secret has them now."""
        return Tokens(
            (self._tokens / "client").read_text().strip(), (self._tokens / "admin").read_text().strip()
        )

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(max(1.0, certificate.due(self.files)))
            if certificate.due(self.files) <= 0:
                await self._ask()
                self.member.transport.renew()
                tls.load(self.context, self.files)

    async def _ask(self) -> None:
        config = self.config
        service = f"{config.name}-leader.{config.namespace}"
        hosts = [config.host(self.pod), f"{service}.svc", f"{service}.{config.domain}"]
        try:
            await asyncio.to_thread(
                lambda: certificate.ask(
                    kube.connect_in_pod(),
                    self.files,
                    config.namespace,
                    config.name,
                    self.pod,
                    sorted(set(hosts)),
                )
            )
        except LabsError as error:
            log.warning("no certificate yet: %s", error)
            await asyncio.sleep(AGAIN)


async def hand_over(member: Member) -> None:
    """Give leadership to the voter that is furthest, so that nobody has to notice that the leader is gone."""
    consensus = member.consensus
    if consensus is None or not consensus.leads:
        return
    at = {each: peer.match for each, peer in consensus.raft.peers().items()}
    voters = [each for each in at if each in consensus.configuration.voters and at[each]]
    if not voters:
        return
    consensus.transfer(max(voters, key=lambda each: at[each]))
    deadline = asyncio.get_running_loop().time() + HAND_OVER
    while consensus.leads and asyncio.get_running_loop().time() < deadline:
        await member.change(deadline - asyncio.get_running_loop().time())
