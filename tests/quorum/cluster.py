"""A Quorum of real members on loopback, in one event loop: disks, certificates and connections are real."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from labsupport.patience import patient
from labsupport.quorum.api import Api, Tokens
from labsupport.quorum.ceremony import begin
from labsupport.quorum.client import Client
from labsupport.quorum.configuration import Config
from labsupport.quorum.disk import open_volume
from labsupport.quorum.member import Founder, Member
from labsupport.quorum.releases import RELEASES
from labsupport.quorum.signing import Signer
from labsupport.quorum.wire import tls
from tests.quorum.wire.certificates import Authority

TICK = 0.02
TOKENS = Tokens("client-token", "admin-token")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


async def until(condition: Callable[[], Any], what: str = "") -> Any:
    """Wait for it; what it gives."""
    async with asyncio.timeout(patient(20)):
        while not (found := condition()):
            await asyncio.sleep(0.01)
    return found


class Quorum:
    """Members by name, running or not."""

    def __init__(self, directory: Path, size: int, release: str = "2.0") -> None:
        self.directory, self.release = directory, release
        directory.mkdir(exist_ok=True)
        self.authority = Authority(directory)
        self.names = [f"demo-{number}" for number in range(size)]
        ports = free_ports(2 * size + 4)
        every = [f"demo-{number}" for number in range(size + 2)]
        self.config = Config(
            "uid",
            "ns",
            "demo",
            listen="127.0.0.1",
            tick=TICK * patient(1.0),
            addresses={name: ("127.0.0.1", port) for name, port in zip(every, ports[::2], strict=True)},
            apis={name: ("127.0.0.1", port) for name, port in zip(every, ports[1::2], strict=True)},
        )
        self.members: dict[str, Member] = {}
        self.apis: dict[str, Api] = {}
        self.begins: dict[str, Any] = {}
        self.signers: dict[str, Signer] = {}

    async def start(self, name: str, release: str = "") -> Member:
        """Start a member on its volume."""
        member = Member(
            self.config,
            name,
            open_volume(self.directory / name),
            self.authority.issue(name),
            RELEASES[release or self.release],
            begin=self.begins.get(name, begin),
            signer=self.signers.get(name),
        )
        await member.start()
        self.members[name] = member
        api = self.apis[name] = Api(member, lambda: TOKENS)
        await api.start(*self.config.apis[name], tls.server(member.files, clients_certified=False))
        return member

    async def stop(self, name: str) -> None:
        """End a member; its volume stays."""
        member = self.members.pop(name)
        await self.apis.pop(name).stop()
        await member.stop()
        member.volume.close()

    async def found(self, names: Iterable[str] = ()) -> None:
        """Start all, make the Quorum, wait for a leader."""
        for name in self.names:
            await self.start(name)
        founders = tuple(Founder(m.volume.id, name, m.identity) for name, m in self.members.items())
        for member in [self.members[name] for name in names] or list(self.members.values()):
            await member.found(founders)
        await self.leader()

    def client(self, token: str = TOKENS.client, names: Iterable[str] = ()) -> Client:
        """A client that knows these members (all, if none is named)."""
        urls = [self.config.api(name) for name in names or self.names]
        return Client(urls, token, str(self.authority.file), patient(10.0))

    async def leader(self) -> Member:
        """The member that leads, by the others' word too."""

        def found() -> Member | None:
            for member in self.members.values():
                if member.consensus and member.consensus.leads:
                    return member
            return None

        member: Member = await until(found)
        return member

    def connect(self, *, apart: Iterable[str] = ()) -> None:
        """Let everything through, but nothing between those that are `apart` and the rest."""
        island = set(apart)
        for name, member in self.members.items():

            def faults(to: int, _: Any, name: str = name, member: Member = member) -> float | None:
                other = member.name_of(to)
                return None if other is not None and (other in island) != (name in island) else 0.0

            member.transport.faults = faults


@asynccontextmanager
async def running(directory: Path, size: int = 3, release: str = "2.0") -> AsyncIterator[Quorum]:
    """A Quorum that is founded, and ended afterwards."""
    quorum = Quorum(directory, size, release)
    async with AsyncExitStack() as stack:

        async def end() -> None:
            for name in list(quorum.members):
                await quorum.stop(name)

        stack.push_async_callback(end)
        await quorum.found()
        yield quorum
