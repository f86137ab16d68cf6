"""Starts a node's components, starts again what died, and ends them in order. Runs as pid 1 of the node.

Standard library only. As pid 1 it also collects every orphan of the node, so it waits for any child itself and leaves
`subprocess` only the starting.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LOGS = Path("/var/log/labs")
FIRST_DELAY = 0.1  # seconds before a dead component is started again
LONGEST_DELAY = 5.0
STEADY_SECONDS = 10.0  # a component that lived this long is started again without growing delay
LOG_LIMIT = 20 * 1024 * 1024  # bytes; at each start a larger log becomes `<name>.log.old`
TAIL = 600  # bytes of the log that tell why a component ended


@dataclass
class Component:
    """A program, its definition in components.toml, and what became of it."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    after: str = ""
    after_answering: str = ""
    ready_url: str = ""
    state: str = "waiting"
    pid: int = 0
    started: float = 0.0
    ready: bool = False
    answering: bool = False
    restarts: int = 0
    last_exit: str = ""
    delay: float = field(default=FIRST_DELAY)

    def as_dict(self) -> dict[str, Any]:
        """The form in status.json."""
        return {
            "name": self.name,
            "state": self.state,
            "pid": self.pid,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "ready": self.ready,
        }


def from_definition(definition: Mapping[str, Any], *, limits: bool = False) -> tuple[Component, ...]:
    """Components from the content of components.toml (as it was validated and written to node.json).

    `limits`: whether the node has control groups to put containers into.
    """
    common = definition.get("environment", {})
    return tuple(
        Component(
            name=entry["name"],
            argv=(*entry["argv"], *(entry.get("argv_with_limits", ()) if limits else ())),
            environment={**common, **entry.get("environment", {})},
            after=entry.get("after", ""),
            after_answering=entry.get("after_answering", ""),
            ready_url=entry.get("ready", ""),
        )
        for entry in definition["component"]
    )


class Supervisor:
    """Keeps the components running until it is told to stop."""

    def __init__(
        self,
        components: tuple[Component, ...],
        on_change: Callable[[], None],
        before_start: Mapping[str, Callable[[], None]],
    ) -> None:
        self.components = {component.name: component for component in components}
        self._on_change = on_change
        self._before_start = before_start  # run in the child, between fork and exec
        self._stopping = False
        self._ended: dict[int, asyncio.Future[int]] = {}

    def start_first(self) -> None:
        """Start every component that waits for no other."""
        self._start_waiting(lambda component: not component.after and not component.after_answering)

    def is_waited_for(self, name: str) -> bool:
        """Whether another component starts only when this one is ready."""
        return any(component.after == name for component in self.components.values())

    def mark_answering(self, name: str) -> None:
        """Note that a component answers, be it with a refusal, and start what waited for that."""
        self.components[name].answering = True
        self._start_waiting(lambda component: component.after_answering == name)

    def mark_ready(self, name: str) -> None:
        """Note that a component is ready, and start what waited for it."""
        self.components[name].ready = True
        self._on_change()
        self._start_waiting(lambda component: component.after == name)

    def collect(self) -> None:
        """Wait for every child that has ended; to be called at SIGCHLD."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for component in self.components.values():
                if component.pid == pid:
                    self._has_ended(component, os.waitstatus_to_exitcode(status))

    async def stop(self, order: tuple[tuple[str, float], ...]) -> None:
        """End components in the order given, each with its seconds between SIGTERM and SIGKILL.

        The order may name some that this node does not have.
        """
        self._stopping = True
        for name, grace in order:
            component = self.components.get(name)
            if component is None or not component.pid:
                continue
            ended = self._ended.setdefault(component.pid, asyncio.get_running_loop().create_future())
            os.kill(component.pid, signal.SIGTERM)
            try:
                await asyncio.wait_for(asyncio.shield(ended), grace)
            except TimeoutError:
                os.kill(component.pid, signal.SIGKILL)
                await ended

    def _start_waiting(self, chosen: Callable[[Component], bool]) -> None:
        for component in self.components.values():
            if component.state == "waiting" and chosen(component):
                self._start(component)

    def _start(self, component: Component) -> None:
        if self._stopping:
            return
        LOGS.mkdir(parents=True, exist_ok=True)
        path = LOGS / f"{component.name}.log"
        if path.exists() and path.stat().st_size > LOG_LIMIT:
            path.replace(path.with_suffix(".log.old"))
        with path.open("ab") as log:
            process = subprocess.Popen(
                component.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(component.environment),
                cwd="/",
                start_new_session=True,
                preexec_fn=self._before_start.get(component.name),
            )
        process.returncode = 0  # we wait for it ourselves; keeps Popen from doing so
        component.pid, component.started, component.state, component.ready = (
            process.pid,
            time.monotonic(),
            "running",
            False,
        )
        self._on_change()

    def _has_ended(self, component: Component, code: int) -> None:
        lived = time.monotonic() - component.started
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        component.last_exit = f"{how} after {lived:.0f} s: {last_line(LOGS / f'{component.name}.log')}"
        ended = self._ended.pop(component.pid, None)
        component.pid, component.ready = 0, False
        if ended is not None and not ended.done():
            ended.set_result(code)
        if self._stopping:
            component.state = "stopped"
            self._on_change()
            return
        component.restarts += 1
        component.state = "restarting"
        component.delay = FIRST_DELAY if lived >= STEADY_SECONDS else min(component.delay * 2, LONGEST_DELAY)
        self._on_change()
        asyncio.get_running_loop().call_later(component.delay, self._start, component)


def last_line(log: Path) -> str:
    """The last line of a log, for people; "" where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:300]
