"""The launcher's nodes beyond the first: started, stopped, cut off and connected again. Standard library only.

Each is a keeper with a pid 1 of its own (keeper.py) and hangs on a cable from the first node. The launcher starts none
by itself, and none again that has ended: who wants to know sees it in launcher.json.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from labsupport.cluster.embedded import addresses, delegation, keeper, linux, noderoot
from labsupport.cluster.embedded.addresses import FIRST, WORKER_LINK, Addresses
from labsupport.cluster.embedded.idmap import IdMap
from labsupport.cluster.embedded.keeper import Kept, NotPossible
from labsupport.cluster.embedded.runtime import rtnetlink

# States: running, partitioned (runs, cut off on purpose), stopped (on purpose), ended (by itself).
STOP_SECONDS = 5.0  # for an orderly end of one node; after that it is killed
NFT = ("/usr/sbin/nft", "-f", "-")


def end_of(pid: int) -> asyncio.Future[None]:
    """Done when process `pid` has ended (it is not waited for)."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    descriptor = os.pidfd_open(pid)

    def note() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        ended.set_result(None)

    loop.add_reader(descriptor, note)
    return ended


@dataclass
class Worker:
    """A node that was started at least once."""

    addresses: Addresses
    kept: Kept
    identities: dict[str, Any]
    ended: asyncio.Future[None]
    state: str = "running"
    watcher: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def runs(self) -> bool:
        """Whether its first process is there."""
        return self.state in ("running", "partitioned")

    def as_dict(self) -> dict[str, Any]:
        """The form in launcher.json."""
        return {"state": self.state, **(self.identities if self.runs else {})}


class Workers:
    """All of them by name, and what can be done to one."""

    def __init__(self, settings: dict[str, Any], first: int, changed: Callable[[], None]) -> None:
        """`settings` is launch.json, `first` the pid of the first node's pid 1; `changed` follows each change."""
        self.settings = settings
        self.first = first
        self.changed = changed
        self.id_map = IdMap(**settings["idmap"])
        self.table: dict[str, Worker] = {}
        self.ending = False

    def as_dict(self) -> dict[str, Any]:
        """The form in launcher.json."""
        return {name: worker.as_dict() for name, worker in sorted(self.table.items())}

    async def do(self, what: str, name: str) -> None:
        """One command about a worker; nothing happens where it is as wanted. Raises NotPossible or OSError."""
        node = addresses.named(name)
        commands = {"start": self.start, "stop": self.stop, "partition": self.partition, "heal": self.heal}
        if node is None or node.is_first or what not in commands or self.ending:
            raise NotPossible(f"cannot {what} {name}")
        await commands[what](node)

    async def start(self, node: Addresses) -> None:
        """Start a node that does not run, and connect one that was cut off."""
        worker = self.table.get(node.name)
        if worker and worker.runs:
            await self.heal(node)
            return
        enter = partial(
            noderoot.enter_beside, self.id_map, self._sources(node), self.first, partial(_connect, node)
        )
        kept = keeper.start(self.id_map, lambda map_me: enter())
        try:
            identities = {
                "keeper": keeper.process_identity(kept.keeper),
                "init": keeper.process_identity(kept.init),
            }
        except OSError:
            os.waitpid(kept.keeper, 0)
            raise NotPossible("its first process ended at once") from None
        worker = Worker(node, kept, identities, end_of(kept.keeper))
        worker.watcher = asyncio.create_task(self._watch(worker))
        self.table[node.name] = worker
        self._hear(node, cut=False)  # a node that ended while it was cut off left its rules here
        self.changed()

    async def stop(self, node: Addresses) -> None:
        """End a node with all that runs on it, as if its power was cut: the API server is told nothing."""
        worker = self.table.get(node.name)
        if worker is None:
            raise NotPossible(f"{node.name} was never started")
        if worker.runs:
            worker.state = "stopped"
            await self._end(worker, STOP_SECONDS)
            self._hear(node, cut=False)
        worker.state = "stopped"
        self.changed()

    async def partition(self, node: Addresses) -> None:
        """Cut a node off: neither end of its cable hears the other any more."""
        self._cut(node, cut=True)

    async def heal(self, node: Addresses) -> None:
        """Connect a node that was cut off; a node that does not run stays as it is."""
        self._cut(node, cut=False)

    async def end_all(self, seconds: float) -> None:
        """End all of them, together, for good."""
        self.ending = True
        await asyncio.gather(*(self._end(worker, seconds) for worker in self.table.values() if worker.runs))

    def _sources(self, node: Addresses) -> noderoot.Sources:
        place = Path(self.settings["workers"]) / node.name
        return noderoot.Sources(
            course_root=Path(self.settings["course_root"]),
            package=Path(self.settings["package"]),
            etc=place / "etc",
            var=place / "var",
            host=place / "host",
            programs={name: Path(path) for name, path in self.settings["programs"].items()},
            volumes=Path(self.settings["var"]) / noderoot.VOLUMES.relative_to("/var"),
        )

    def _cut(self, node: Addresses, *, cut: bool) -> None:
        worker = self.table.get(node.name)
        if worker is None or not worker.runs:
            if cut:
                raise NotPossible(f"{node.name} does not run")
            return
        self._hear(node, cut=cut)
        rules = addresses.cut_rules(node.number, WORKER_LINK, cut=cut)
        _run_inside(worker.kept.init, self.id_map, rules)
        worker.state = "partitioned" if cut else "running"
        self.changed()

    def _hear(self, node: Addresses, *, cut: bool) -> None:
        """The first node's end of the cable."""
        _run_inside(self.first, self.id_map, addresses.cut_rules(node.number, node.name, cut=cut))

    async def _watch(self, worker: Worker) -> None:
        """Wait for its end; one that nobody asked for is noted."""
        await worker.ended
        os.waitpid(worker.kept.keeper, 0)
        delegation.remove_node_group(worker.kept.keeper)
        if worker.state != "stopped":
            worker.state = "ended"
        if not self.ending:
            self.changed()

    async def _end(self, worker: Worker, seconds: float) -> None:
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            os.kill(worker.kept.init, signal.SIGTERM)
            await asyncio.wait_for(asyncio.shield(worker.ended), seconds)
        with contextlib.suppress(ProcessLookupError):
            if not worker.ended.done():
                # Not the keeper: it then ends when all that was in the pid namespace has.
                os.kill(worker.kept.init, signal.SIGKILL)
        if worker.watcher:
            await worker.watcher


def _connect(node: Addresses, first_link: socket.socket) -> None:
    """In the worker's keeper and network namespace: the cable to the first node, and that node's routes over it."""
    try:
        # The kernel takes some time to remove that of a node that has ended just now.
        rtnetlink.delete_link(first_link, node.name)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    rtnetlink.add_veth(first_link, node.name, WORKER_LINK, own)
    os.close(own)
    index = rtnetlink.index_of(first_link, node.name)
    rtnetlink.add_address(first_link, index, FIRST.ip, 32)
    rtnetlink.set_up(first_link, index)
    rtnetlink.add_route(first_link, index, node.ip, source=FIRST.ip)
    rtnetlink.add_route(first_link, index, node.pod_cidr, gateway=node.ip, source=FIRST.ip)


def _run_inside(init: int, id_map: IdMap, rules: str) -> None:
    """Give nft its rules in the namespaces of the node whose pid 1 is `init`; raises OSError with its words."""

    def enter() -> None:
        linux.setns(os.pidfd_open(init), linux.CLONE_NEWUSER | linux.CLONE_NEWNS | linux.CLONE_NEWNET)
        if id_map.kind != "single":
            os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)

    done = subprocess.run(
        NFT,
        input=rules,
        text=True,
        capture_output=True,
        check=False,
        env=keeper.NODE_ENVIRONMENT,
        preexec_fn=enter,
    )
    if done.returncode:
        raise OSError(f"nft: {done.stderr.strip()}")
