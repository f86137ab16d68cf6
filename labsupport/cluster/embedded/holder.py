"""The launcher process as the back end sees it: started, found again, spoken to, ended."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from labsupport.cluster.directory import ClusterDirectory
from labsupport.cluster.embedded import delegation
from labsupport.cluster.embedded.keeper import process_identity
from labsupport.cluster.embedded.launcher import STOP_SECONDS
from labsupport.errors import LabsError
from labsupport.patience import patient

START_SECONDS = patient(10.0)
# The slowest command, an orderly end of a node, takes at most five on a machine that is not overloaded.
COMMAND_SECONDS = patient(15.0)
POLL = 0.01  # seconds; the launcher reports by replacing a file


@dataclass(frozen=True)
class HeldWorker:
    """A further node: running, partitioned, stopped (on purpose) or ended (by itself); its pid 1, or 0."""

    state: str
    init: int


@dataclass(frozen=True)
class Held:
    """A launcher that runs: its port on loopback and its processes (pids on the host); further nodes by name.

    A node that was never started since the launcher was is not among them.
    """

    port: int
    launcher: int
    keeper: int
    init: int
    workers: Mapping[str, HeldWorker] = field(default_factory=dict)


def find(directory: ClusterDirectory) -> Held | None:
    """The running launcher of a cluster, or None. A pid that now belongs to another process does not count."""
    report = _report(directory)
    if report.get("phase") != "running" or not all(
        _is_alive(report[key]) for key in ("launcher", "keeper", "init")
    ):
        return None
    workers = {
        name: HeldWorker(entry["state"], entry.get("init", {}).get("pid", 0))
        for name, entry in report.get("nodes", {}).items()
    }
    launcher, keeper, init = (report[key]["pid"] for key in ("launcher", "keeper", "init"))
    return Held(report["port"], launcher, keeper, init, workers)


def start(directory: ClusterDirectory) -> Held:
    """Start the launcher; returns when the node's pid 1 runs.

    Raises LabsError with the host's refusal where the namespaces cannot be made.
    """
    end(directory)
    (directory.root / "launcher.json").unlink(missing_ok=True)
    told, tell = os.pipe()
    with (directory.root / "launcher.log").open("ab") as log, os.fdopen(told, "rb") as reported:
        try:
            given = delegation.find(directory.name)
            # Where systemd refuses, the cluster runs without limits; why is in launcher.log.
            if given.why_not or not _run(directory, tell, log, given):
                _run(directory, tell, log)
        finally:
            os.close(tell)
        # Readable when the launcher has reported, or has ended.
        select.select([reported], [], [], START_SECONDS)
    if held := find(directory):
        return held
    error = _report(directory).get("error") or _tail(directory.root / "launcher.log")
    end(directory)
    raise LabsError(
        f"The node's namespaces could not be made: {error}",
        fix="`labs doctor` finds out what forbids it and gives the step that mends it",
        anchor="user-namespaces",
    )


def _run(
    directory: ClusterDirectory, tell: int, log: BinaryIO, given: delegation.Delegation | None = None
) -> bool:
    """Run the launcher until it has gone into the background; whether it came so far."""
    module = "labsupport.cluster.embedded.launcher"
    command = [sys.executable, "-m", module, str(directory.root), str(tell)]
    if given:
        command = [*given.command, *command, "scope"]
    # It forks and goes on as nobody's child: who calls this may live longer than the cluster.
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd="/",
        env={**os.environ, **(given.environment if given else {})},
        start_new_session=True,
        pass_fds=(tell,),
        check=False,
    )
    return done.returncode == 0


def end(directory: ClusterDirectory) -> None:
    """End the launcher and with it everything in its namespaces; in order where it still can, else at once.

    Returns when no process of it is left. Raises LabsError if one cannot be ended.
    """
    report = _report(directory)
    processes = [report[key] for key in ("launcher", "keeper", "init") if key in report]
    for entry in report.get("nodes", {}).values():
        processes += [entry[key] for key in ("keeper", "init") if key in entry]
    alive = [identity for identity in processes if _is_alive(identity)]
    if not alive:
        return
    os.kill(alive[0]["pid"], signal.SIGTERM if alive[0] == processes[0] else signal.SIGKILL)
    if not _wait_ended(alive, STOP_SECONDS + 5):
        for identity in alive:
            with suppress(ProcessLookupError):
                if _is_alive(identity):
                    os.kill(identity["pid"], signal.SIGKILL)
        if not _wait_ended(alive, 5):
            left = ", ".join(str(identity["pid"]) for identity in alive if _is_alive(identity))
            raise LabsError(
                f"Processes of the cluster cannot be ended: {left}.", fix="look at them with `ps`"
            )


def forward(directory: ClusterDirectory, target: str) -> int:
    """A port on loopback that leads to `target` ("address:port" in the node) until the cluster goes down."""
    answer = _ask(directory, {"forward": target})
    if "port" not in answer:
        raise LabsError(f"No port could be opened for {target}: {answer.get('error', 'no answer')}")
    return int(answer["port"])


def command_worker(directory: ClusterDirectory, do: str, name: str) -> None:
    """Have the launcher start, stop, partition or heal a further node; raises LabsError with its reason."""
    answer = _ask(directory, {"node": name, "do": do})
    if "nodes" not in answer:
        why = answer.get("error", "no answer")
        # A launcher of the time when there was one node only looks for another word in the request.
        old = why == "'forward'"
        raise LabsError(
            f"{name}: `{do}` did not succeed: "
            + ("the cluster was started by an older version of this course." if old else f"{why}."),
            fix="`labs down --keep`, then `labs up`" if old else "`labs report` collects the logs",
        )


def _ask(directory: ClusterDirectory, request: dict[str, str]) -> dict[str, Any]:
    """What the launcher answers; a launcher that does not is an error in it as well."""
    try:
        with _connection(directory.root / "control.sock", COMMAND_SECONDS) as connection:
            connection.sendall(json.dumps(request).encode() + b"\n")
            return dict(json.loads(connection.makefile().readline() or "{}"))
    except (OSError, ValueError) as error:
        return {"error": f"the launcher does not answer: {error}"}


@contextmanager
def connected(host_directory: Path, target: str, timeout: float = 5.0) -> Iterator[socket.socket]:
    """A stream to `target` in the node, within `timeout` seconds. Raises OSError with the node's reason."""
    with _connection(host_directory / "api.sock") as connection:
        connection.settimeout(timeout)
        connection.sendall(f"CONNECT {target}\n".encode())
        answer = b""
        while not answer.endswith(b"\n"):
            byte = connection.recv(1)
            if not byte:
                break
            answer += byte
        if answer != b"OK\n":
            raise OSError(answer.decode(errors="replace").strip() or "the node closed the connection")
        yield connection


@contextmanager
def _connection(path: Path, timeout: float = 5.0) -> Iterator[socket.socket]:
    # Through the directory's descriptor: a socket's address takes 108 bytes, a path may be longer.
    directory = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(f"/proc/self/fd/{directory}/{path.name}")
            yield connection
    finally:
        os.close(directory)


def _report(directory: ClusterDirectory) -> dict[str, Any]:
    try:
        report = json.loads((directory.root / "launcher.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def _is_alive(identity: dict[str, Any]) -> bool:
    try:
        return process_identity(identity["pid"]) == identity and not _is_zombie(identity["pid"])
    except OSError:
        return False


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _wait_ended(identities: list[dict[str, Any]], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(_is_alive(identity) for identity in identities):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def _tail(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip().splitlines()[-1]
    except (OSError, IndexError):
        return "it ended without a word"
