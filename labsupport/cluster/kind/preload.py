"""Images put into a node's containerd store before there is a node, by a containerd that runs for that alone."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from labsupport.cluster import process
from labsupport.errors import LabsError

START_SECONDS = 20.0
NAMESPACE = "k8s.io"  # that of the kubelet's images
PINNED = "io.cri-containerd.pinned=pinned"  # the kubelet's garbage collection leaves these alone
CONFIGURATION = """version = 2
root = "{store}"
state = "{scratch}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{scratch}/socket"
"""


def preload(archive: Path, store: Path, programs: Mapping[str, Path], scratch: Path) -> tuple[str, ...]:
    """Import an archive's images into `store` (a node's /var/lib/containerd) and pin them; returns their names.

    `programs`: containerd and ctr, of the version that the node has. Layers stay packed: the node unpacks what it runs.
    LabsError says what containerd said.
    """
    scratch.mkdir()
    store.mkdir(parents=True)
    configuration = scratch / "config.toml"
    configuration.write_text(CONFIGURATION.format(store=store, scratch=scratch))
    log = scratch / "log"
    # Whoever is not root becomes it in a user namespace of his own: containerd gives its socket to root.
    alone = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user"]
    with log.open("wb") as output:
        daemon = process.start(
            [*alone, programs["containerd"], "--config", configuration],
            stdout=output.fileno(),
            stderr=output.fileno(),
        )
    try:
        ctr: list[str | Path] = [
            *alone,
            programs["ctr"],
            "--address",
            scratch / "socket",
            "--namespace",
            NAMESPACE,
        ]
        _wait(ctr, log, daemon.poll)
        _run([*ctr, "images", "import", "--all-platforms", "--no-unpack", "--digests", archive])
        names = tuple(_run([*ctr, "images", "list", "--quiet"]).split())
        for name in names:
            _run([*ctr, "images", "label", name, PINNED])
    finally:
        process.end(daemon)
    return names


def _wait(ctr: Sequence[str | Path], log: Path, ended: object) -> None:
    """Until containerd answers; it has no other sign of being ready."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(process.TimedOut):
            if process.run([*ctr, "version"], timeout=5).ok:
                return
        stopped = callable(ended) and ended() is not None
        if stopped or time.monotonic() > deadline:
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise LabsError(f"containerd does not start: {' '.join(last)}", fix="run it again")
        time.sleep(0.05)


def _run(command: Sequence[str | Path]) -> str:
    result = process.run(command, env=os.environ | {"CONTAINERD_SNAPSHOTTER": "native"})
    if not result.ok:
        raise LabsError(f"ctr {' '.join(map(str, command[-3:]))}: {result.reason()}")
    return result.stdout
