"""The runtime's configuration, written by the launcher, read by the shim and by the CRI server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

DEFAULT_PATH = Path("/etc/labs/runtime.json")


@dataclass(frozen=True)
class Api:
    """The API server's address, and the files of its authority and of the node's own certificate and key."""

    server: str
    authority: str
    certificate: str
    key: str


@dataclass(frozen=True)
class Config:
    """Where things are inside the node.

    `idmap` is "single" (the user namespace has one id), "subordinate" or "range" (it has those from 0 to 65,535).
    `course_root` is the read-only lower directory of every container, `state` survives a restart of the node, `run`
    does not.
    """

    pod_cidr: str
    idmap: str
    course_root: Path
    catalogue: Path
    state: Path
    run: Path
    api: Api

    @property
    def real_ids(self) -> bool:
        """Whether users other than root exist in the node's user namespace."""
        return self.idmap != "single"

    @property
    def shim_socket(self) -> Path:
        """Where the shim listens."""
        return self.run / "shim.sock"

    @property
    def cri_socket(self) -> Path:
        """Where the kubelet calls."""
        return self.run / "cri.sock"

    def sandbox_run(self, sandbox_id: str) -> Path:
        """Pinned namespaces and shared memory of a sandbox; gone after a reboot of the node."""
        return self.run / "sandboxes" / sandbox_id

    def network_namespace(self, sandbox_id: str) -> Path:
        """The pinned network namespace of a sandbox, where `ip netns` finds it."""
        return Path("/run/netns") / sandbox_id


def load(path: Path = DEFAULT_PATH) -> Config:
    """Read the configuration file; a missing key raises KeyError naming it."""
    data = json.loads(path.read_text())
    return Config(
        pod_cidr=data["pod_cidr"],
        idmap=data["idmap"],
        course_root=Path(data["course_root"]),
        catalogue=Path(data["catalogue"]),
        state=Path(data["state"]),
        run=Path(data["run"]),
        api=Api(**data["api"]),
    )
