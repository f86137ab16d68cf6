"""Lanes on loopback, without a cluster: a client's and a server's real Envoy with the mesh's own configuration.

Each lane may report to a control plane of its own, in a process of its own; the application is one for all.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labsupport import paths
from labsupport.cluster import binaries, process
from labsupport.errors import LabsError
from labsupport.mesh.api import Name
from labsupport.mesh.bench import lane as configuration
from labsupport.mesh.model import Model
from labsupport.mesh.proxy.__main__ import FLAGS
from labsupport.mesh.translate.envoy import Json
from labsupport.patience import patient

READY = patient(20.0)  # seconds for a process to be ready
BODY = "x" * 100
REQUEST = b"GET /some/path?id=7 HTTP/1.1\r\nHost: server\r\nUser-Agent: bench/1\r\n\r\n"


@dataclass
class Lane:
    """One pair of proxies. `control` is the control plane, and None where they do not report to it."""

    address: tuple[str, int]
    client: int  # process ids
    server: int
    control: subprocess.Popen[str] | None
    sent: int = 0

    def cpu(self) -> dict[str, float]:
        """CPU seconds by part; all of a process's threads."""
        found = {"client": cpu(self.client), "server": cpu(self.server)}
        return found | {"control": cpu(self.control.pid) if self.control else 0.0}

    def counted(self) -> dict[str, Any]:
        """What the control plane has counted. Errors: LabsError where nothing is reported."""
        if self.control is None or not self.control.stdin or not self.control.stdout:
            raise LabsError("this lane has no control plane", fix="make it with telemetry")
        self.control.stdin.write("\n")
        self.control.stdin.flush()
        found: dict[str, Any] = json.loads(self.control.stdout.readline())
        return found


def cpu(pid: int) -> float:
    """CPU seconds that the threads of a process have used (schedstat: nanoseconds on a processor)."""
    found = 0
    for each in Path(f"/proc/{pid}/task").iterdir():
        found += int((each / "schedstat").read_text().split()[0])
    return found / 1e9


class Connections:
    """A client's connections to a lane, on which requests go one after the other."""

    def __init__(self, lane: Lane, count: int) -> None:
        self._lane = lane
        self._sockets = [socket.create_connection(lane.address, timeout=10) for _ in range(count)]

    def send(self, rounds: int) -> None:
        """So many requests on each connection, one at a time on it, all connections together."""
        for _ in range(rounds):
            for each in self._sockets:
                each.sendall(REQUEST)
            for each in self._sockets:
                self._answer(each)
        self._lane.sent += rounds * len(self._sockets)

    def _answer(self, connection: socket.socket) -> None:
        got = b""
        while not got.endswith(BODY.encode()):
            more = connection.recv(65536)
            if not more:
                raise LabsError("a proxy has closed a connection", fix="run it again")
            got += more
        if not got.startswith(b"HTTP/1.1 200 "):
            raise LabsError(f"a request was answered {got[:40]!r}", fix="run it again")

    def close(self) -> None:
        """End them."""
        for each in self._sockets:
            each.close()


class Runner:
    """Starts what lanes need; all of it ends with the context that `running` is."""

    def __init__(self, place: Path, stack: ExitStack) -> None:
        self._place, self._stack, self._number = place, stack, 0
        # What is translated may be changed before it is used, to find what something costs.
        self.change: Callable[[configuration.Made], configuration.Made] = lambda made: made
        self._envoy = binaries.ensure(("envoy",), cache_dir=paths.cache())["envoy"].path
        self._application = self._start(configuration.direct(BODY), place, "application")[1]

    def lane(self, model: Model, *, reports: bool) -> Lane:
        """One more pair, of that configuration."""
        self._number += 1
        base = self._place / f"lane-{self._number}"
        places = [base / each.name for each in (configuration.CLIENT, configuration.SERVER)]
        for each in places:
            each.mkdir(parents=True)
        control, port = self._control(places)
        if not reports:
            self._end_control(control)

        def proxy(of: Name, made: configuration.Made) -> tuple[int, int]:
            state, changed = base / of.name, self.change(made)
            return self._start(configuration.configured(of, str(state), port, *changed), state, of.name)

        server, inbound = proxy(configuration.SERVER, configuration.server(model, self._application))
        client, address = proxy(configuration.CLIENT, configuration.client(model, inbound))
        return Lane(("127.0.0.1", address), client, server, control if reports else None)

    def _control(self, places: list[Path]) -> tuple[subprocess.Popen[str], int]:
        words = [sys.executable, "-m", "labsupport.mesh.bench.sink", *map(str, places)]
        child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._stack.callback(self._end_control, child)
        line = child.stdout.readline() if child.stdout else ""
        if not line:
            raise LabsError("the control plane of a measurement did not start", fix="what it said is above")
        return child, int(line)

    def _end_control(self, child: subprocess.Popen[str]) -> None:
        if child.poll() is None:
            child.communicate()  # ends with its standard input

    def _start(self, config: Json, place: Path, name: str) -> tuple[int, int]:
        """An Envoy's process id, and the port of its listener."""
        path, said, log = place / f"{name}.json", place / f"{name}.admin", place / f"{name}.log"
        path.write_text(json.dumps(config))
        words = [str(self._envoy), "-c", str(path), *FLAGS, "--admin-address-path", str(said)]
        with log.open("ab") as output:
            child = process.start(words, stdout=output.fileno(), stderr=output.fileno())
        self._stack.callback(process.end, child)

        def up() -> bool:
            if child.poll() is not None:
                raise LabsError(f"Envoy ended with {child.returncode}: {log.read_text()[-2000:]}")
            return said.exists() and bool(said.read_text())

        until(up, "Envoy's admin interface")
        admin = f"http://{said.read_text()}"
        until(lambda: asked(f"{admin}/ready").startswith("LIVE"), f"Envoy to be ready ({name})")
        (listener,) = json.loads(asked(f"{admin}/listeners?format=json"))["listener_statuses"]
        return child.pid, int(listener["local_address"]["socket_address"]["port_value"])


def asked(url: str) -> str:
    """What an admin interface answers, or ""."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found: str = answer.read().decode()
            return found
    except OSError:
        return ""


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for what nobody tells of."""
    deadline = time.monotonic() + READY
    while not condition():
        if time.monotonic() > deadline:
            raise LabsError(f"not within {READY:.0f} s: {what}", fix="run it again on a quieter machine")
        time.sleep(0.01)


@contextmanager
def running() -> Iterator[Runner]:
    """Where lanes are started; everything ends with it."""
    with tempfile.TemporaryDirectory(prefix="lanes-") as place, ExitStack() as stack:
        yield Runner(Path(place), stack)
