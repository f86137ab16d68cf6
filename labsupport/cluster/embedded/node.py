"""Pid 1 of a node: its addresses, its components, and the socket through which the host reaches it.

Runs on the course root's Python with the standard library only; the launcher has built the root directory
(noderoot.py). Configuration: /etc/labs/node.json, written by the back end. What the host reads of it:
/run/host/status.json (components and whether the API server answers) and /run/host/api.sock (relay.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any

from labsupport.cluster.embedded import chown_filter, linux, relay
from labsupport.cluster.embedded.runtime import limits
from labsupport.cluster.embedded.supervisor import Component, Supervisor, from_definition

CONFIGURATION = Path("/etc/labs/node.json")
STATUS = Path("/run/host/status.json")
SOCKET = Path("/run/host/api.sock")
PKI = Path("/etc/kubernetes/pki")
READY_POLL = 0.03  # seconds; the API server offers nothing to wait on before it serves
SLOW_ANSWER = 1.0  # seconds: on an ordinary machine the first answer takes less
WATCH_POLL = 2.0  # seconds between looks once it was ready
# Seconds for an answer. A slow machine's first ones take long, and while it starts nobody asks for a quick "no".
START_ANSWER, WATCH_ANSWER = 20.0, 2.0
# etcd last: what the others have written by then is kept. Containers die with the node (their pid namespaces' root).
STOP_ORDER = (
    ("kubelet", 2.0),
    ("kube-controller-manager", 1.0),
    ("kube-scheduler", 1.0),
    ("kube-proxy", 1.0),
    ("kube-apiserver", 1.0),
    ("etcd", 10.0),
)


def set_up_network(configuration: dict[str, Any]) -> None:
    """Name the node, and give it its addresses and routes (addresses.py)."""
    linux.sethostname(configuration["name"])
    commands = "".join(f"{line}\n" for line in configuration["network"])
    subprocess.run(["/usr/sbin/ip", "-batch", "-"], input=commands.encode(), check=True)
    for name, value in (("ipv4/ip_forward", "1"), ("ipv4/conf/all/route_localnet", "1")):
        Path("/proc/sys/net", name).write_text(value)


def set_up_directories(own: tuple[str, ...]) -> None:
    """Directories that the programs expect; those on /run and /tmp are new at each start.

    `own` are further ones, for the node's root alone.
    """
    for path in (
        "/run/labs",
        "/run/netns",
        "/run/lock",
        "/var/lib/kubelet",
        "/var/log/pods",
        "/var/log/containers",
    ):
        Path(path).mkdir(parents=True, exist_ok=True)
    for path in ("/run/labs", "/var/lib/labs-runtime", "/var/log/labs", *own):
        Path(path).mkdir(parents=True, exist_ok=True, mode=0o700)
        Path(path).chmod(0o700)
    if not Path("/var/run").is_symlink():
        Path("/var/run").symlink_to("/run")
    # The controller manager's host-path provisioner knows one place only; there it would be lost at the next start.
    volumes = Path("/var/lib/hostpath-volumes")
    volumes.mkdir(exist_ok=True)
    Path("/tmp/hostpath_pv").symlink_to(volumes)  # noqa: S108


class Node:
    """The node's state while it runs."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self.configuration = configuration
        before_start = {"kubelet": chown_filter.install} if configuration["idmap"] == "single" else {}
        self.supervisor = Supervisor(
            from_definition(configuration["components"], limits=bool(limits.enforced())),
            self.write_status,
            before_start,
        )
        self.started = time.time()
        self.stop_requested = asyncio.Event()
        self.phase = "starting"

    def write_status(self) -> None:
        """Replace status.json; a full disk must not end the node, so the failure is only printed."""
        content = {
            "phase": self.phase,
            "started": self.started,
            "limits": limits.enforced(),
            "components": [component.as_dict() for component in self.supervisor.components.values()],
        }
        temporary = STATUS.with_suffix(".tmp")
        try:
            temporary.write_text(json.dumps(content))
            temporary.replace(STATUS)
        except OSError as error:
            print(f"status.json: {error}", file=sys.stderr, flush=True)

    async def run(self) -> None:
        """Start everything, and end it in order when asked to."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self.supervisor.collect)
        loop.add_signal_handler(signal.SIGTERM, self.stop_requested.set)
        loop.add_signal_handler(signal.SIGINT, self.stop_requested.set)
        SOCKET.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(relay.serve_in_node, SOCKET, limit=relay.BUFFER)
        SOCKET.chmod(0o600)
        self.supervisor.start_first()
        self.phase = "running"
        self.write_status()
        watchers = [
            asyncio.create_task(self.watch(component))
            for component in self.supervisor.components.values()
            if component.ready_url.startswith("https:") or self.supervisor.is_waited_for(component.name)
        ]
        await self.stop_requested.wait()
        self.phase = "stopping"
        self.write_status()
        for watcher in watchers:
            watcher.cancel()
        server.close()
        await self.supervisor.stop(STOP_ORDER)
        self.phase = "stopped"
        self.write_status()

    async def watch(self, component: Component) -> None:
        """Ask a component for its readiness: often until it is ready, now and then afterwards."""
        if component.ready_url.startswith("unix:"):
            # Nothing but a start waits for it, so one look that succeeds is enough.
            while not Path(component.ready_url.removeprefix("unix:")).is_socket():
                await asyncio.sleep(READY_POLL)
            self.supervisor.mark_ready(component.name)
            return
        context = ssl.create_default_context(cafile=str(PKI / "ca.crt"))
        context.load_cert_chain(PKI / "supervisor.crt", PKI / "supervisor.key")
        while True:
            asked = time.monotonic()
            within = WATCH_ANSWER if component.ready else START_ANSWER
            status = await asyncio.to_thread(answer, component.ready_url, context, within)
            ready = status == HTTPStatus.OK
            if status and not component.answering:
                self.supervisor.mark_answering(component.name)
            if ready and not component.ready:
                self.supervisor.mark_ready(component.name)
            elif component.ready and not ready:
                component.ready = False
                self.write_status()
            await asyncio.sleep(WATCH_POLL if component.ready else pause(time.monotonic() - asked))


def pause(took: float) -> float:
    """Seconds until the next question to a component that starts, where the last one took `took`.

    Where an answer costs much, asking must not take the processor from what is asked. Elsewhere a pause would only
    delay each start.
    """
    return took if took >= SLOW_ANSWER else READY_POLL


def answer(url: str, context: ssl.SSLContext, seconds: float) -> int:
    """The HTTP status that a GET of `url` is answered with; 0 where it is not answered."""
    try:
        with urllib.request.urlopen(url, context=context, timeout=seconds) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, ValueError):
        return 0


def main() -> None:
    """Become the node."""
    configuration = json.loads(CONFIGURATION.read_text())
    linux.set_name("labs-node")
    os.umask(0o022)
    names = {component["name"] for component in configuration["components"]["component"]}
    set_up_directories(("/var/lib/etcd",) if "etcd" in names else ())
    log = os.open("/var/log/labs/node.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    set_up_network(configuration)
    # From here on errors go to the node's own log: the descriptors of the host's file are closed.
    os.dup2(log, 1)
    os.dup2(log, 2)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Node(configuration).run())
    # As pid 1 there is nothing left to hold the namespaces: the kernel ends whatever still runs in them.
    os._exit(0)


if __name__ == "__main__":
    main()
