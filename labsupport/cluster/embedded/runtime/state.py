"""The runtime's state as one value, and how it follows what the shim reports."""

from __future__ import annotations

import queue
import secrets
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labsupport.cluster.embedded.runtime import events, limits
from labsupport.cluster.embedded.runtime.config import Config
from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri
from labsupport.cluster.embedded.runtime.images import Image, Images
from labsupport.cluster.embedded.runtime.network import AddressPool
from labsupport.cluster.embedded.runtime.shim_client import ShimClient, ShimError
from labsupport.cluster.embedded.runtime.store import (
    Container,
    Sandbox,
    Table,
    decode_container,
    decode_sandbox,
)
from labsupport.cluster.embedded.runtime.users import Accounts
from labsupport.cluster.embedded.runtime.users import read as read_accounts

# What other runtimes report for a container whose end nobody saw.
UNKNOWN_END = 255
RESTARTED = "the node or its container monitor was restarted"


@dataclass
class Runtime:
    """Everything a CRI call may need. `lock` guards changes of a container's state."""

    config: Config
    sandboxes: Table[Sandbox]
    containers: Table[Container]
    images: Images
    pool: AddressPool
    accounts: Accounts
    lock: threading.RLock = field(default_factory=threading.RLock)
    watchers: list[queue.SimpleQueue[tuple[str, int]]] = field(default_factory=list)
    shim: ShimClient = field(init=False)

    def containers_of(self, sandbox_id: str) -> list[Container]:
        """The containers of a sandbox, oldest first."""
        return [container for container in self.containers if container.sandbox_id == sandbox_id]

    def accounts_of(self, image: Image) -> Accounts:
        """The users of an image: those of its uppermost layer that has any, else the course root's."""
        for layer in image.layers:
            if (Path(layer) / "etc/passwd").exists():
                return read_accounts(Path(layer))
        return self.accounts

    def lower_of(self, image: Image) -> str:
        """The directories that an image's root is made of, the uppermost first, with ":" between them."""
        return ":".join([*image.layers, str(self.config.course_root)])

    def group_of(self, container: Container) -> Path:
        """The control group of a container, which exists only where limits are enforced and it was started."""
        sandbox = self.sandboxes.get(container.sandbox_id)
        return limits.group_of(sandbox.config.linux.cgroup_parent if sandbox else "", container.id)

    def announce(self, container_id: str, event: int) -> None:
        """Tell who listens to GetContainerEvents (`event` is a cri.ContainerEventType)."""
        for watcher in list(self.watchers):
            watcher.put((container_id, event))

    # What the shim reports

    def on_exit(self, container_id: str, exit_code: int, finished_at: int) -> None:
        """A container's main process has ended."""
        container = self.containers.get(container_id)
        if container is None:
            return
        with self.lock:
            if container.state == cri.CONTAINER_EXITED:
                return
            container.started_at = container.started_at or finished_at
            reason = "Completed" if exit_code == 0 else "Error"
            if exit_code and limits.was_out_of_memory(self.group_of(container)):
                reason = "OOMKilled"
            self.mark_ended(container, exit_code, reason, finished_at)

    def mark_ended(self, container: Container, exit_code: int, reason: str, finished_at: int = 0) -> None:
        """Record an end and wake who waits for it."""
        with self.lock:
            container.state = cri.CONTAINER_EXITED
            container.exit_code, container.reason = exit_code, reason
            container.finished_at = finished_at or time.time_ns()
            try:
                self.containers.save(container)
            except OSError as error:
                # A full disk: the end is known in memory, and a later server asks the shim again.
                print(f"cannot record the end of {container.id}: {error}", file=sys.stderr, flush=True)
        container.ended.set()
        self.announce(container.id, cri.CONTAINER_STOPPED_EVENT)

    def on_connect(self, state: dict[str, Any]) -> None:
        """A shim is there: take over what it runs, and record as ended what it does not know.

        After a restart of this server the shim still has everything. After a restart of the shim or of the node
        the containers are gone; sandboxes without pinned namespaces, or without the holder of their shared PID
        namespace, are not ready any more, so that the kubelet makes new ones.
        """
        running = state["containers"]
        ended: dict[str, list[str]] = {}
        for container in self.containers:
            known = running.get(container.id)
            if container.state == cri.CONTAINER_RUNNING:
                if known is None:
                    container.message = RESTARTED
                    self.mark_ended(container, UNKNOWN_END, "Unknown")
                    ended.setdefault(container.sandbox_id, []).append(container.config.metadata.name)
                elif known["exit_code"] is not None:
                    self.on_exit(container.id, known["exit_code"], known["finished_at"])
            elif container.state == cri.CONTAINER_CREATED and known and known["exit_code"] is None:
                # The server ended between the start and its record.
                with self.lock:
                    container.state, container.pid = cri.CONTAINER_RUNNING, known["pid"]
                    container.started_at = container.started_at or time.time_ns()
                    self.containers.save(container)
        news = [
            events.lost(sandbox.config.metadata, names, RESTARTED)
            for sandbox_id, names in ended.items()
            if (sandbox := self.sandboxes.get(sandbox_id))
        ]
        if news:
            events.tell(self.config.api, news)
        if unwanted := [name for name in running if not self._is_wanted(name)]:
            # In a thread: this one is needed for the replies.
            threading.Thread(target=self._forget, args=(unwanted,), daemon=True).start()
        for sandbox in self.sandboxes:
            pinned = (self.config.sandbox_run(sandbox.id) / "uts").exists()
            held = sandbox.namespaces.pid != cri.POD or sandbox.id in state["holders"]
            if sandbox.ready and not (pinned and held):
                sandbox.ready = False
                self.pool.give_back(sandbox.address)
                self.sandboxes.save(sandbox)

    def _is_wanted(self, container_id: str) -> bool:
        container = self.containers.get(container_id)
        return container is not None and container.state != cri.CONTAINER_EXITED

    def _forget(self, container_ids: list[str]) -> None:
        """End what the shim runs although nobody knows it: its start was given up, or its record is lost."""
        for container_id in container_ids:
            try:
                self.shim.call("forget", id=container_id)
            except ShimError as error:
                print(f"cannot end the container {container_id}: {error}", file=sys.stderr, flush=True)


def load(config: Config) -> Runtime:
    """Read the state from disk and connect to the shim."""
    for directory in (config.state, config.run):
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
    sandboxes = Table(config.state / "sandboxes", decode_sandbox)
    containers = Table(config.state / "containers", decode_container)
    addressed = [sandbox for sandbox in sandboxes if sandbox.address]
    runtime = Runtime(
        config=config,
        sandboxes=sandboxes,
        containers=containers,
        images=Images(config.catalogue, config.state / "pulled.json"),
        pool=AddressPool(
            config.pod_cidr,
            used=[sandbox.address for sandbox in addressed if sandbox.ready],
            last=addressed[-1].address if addressed else "",
        ),
        accounts=read_accounts(config.course_root),
    )
    runtime.shim = ShimClient(config.shim_socket, runtime.on_exit, runtime.on_connect)
    runtime.shim.start()
    return runtime


def new_id() -> str:
    """An id as other runtimes make them: 64 hexadecimal digits."""
    return secrets.token_hex(32)
