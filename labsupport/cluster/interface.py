"""What every back end offers, and the records that describe a cluster. Nothing here knows which back end it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

API_VERSION_OF_STATUS = 1  # raised when a key of the JSON form changes its meaning


@dataclass(frozen=True)
class Component:
    """One program that the cluster is made of."""

    name: str
    state: str  # running, waiting, restarting, stopped
    restarts: int
    pss_mb: float | None  # proportional share of memory, in MB; None where it cannot be read
    last_exit: str = ""  # how and why it ended last, "" if it never did
    node: str = ""  # the node it runs on; "" where the back end has one only


@dataclass(frozen=True)
class NodeStatus:
    """One node of a cluster that has several."""

    name: str
    role: str  # control-plane, worker
    state: str  # running, partitioned (runs, cut off on purpose), stopped (on purpose), ended (by itself)
    ready: bool | None  # what the API server says of it; None where it does not know it or does not answer
    address: str
    pods: str  # the range of its Pods' addresses

    def as_dict(self) -> dict[str, Any]:
        """The JSON form (`labs node list --json`)."""
        return {
            "name": self.name,
            "role": self.role,
            "state": self.state,
            "ready": self.ready,
            "address": self.address,
            "pods": self.pods,
        }


@dataclass(frozen=True)
class ClusterStatus:
    """What can be said of a cluster now. `ready` means: the API answers, every node is Ready that was not stopped or
    cut off on purpose, cluster DNS answers.
    """

    ready: bool
    backend: str
    name: str
    unofficial_build: bool
    components: tuple[Component, ...]
    kubeconfig: Path
    api: str
    running: bool
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what is not as usual and yet as wanted: nodes that were stopped or cut off

    def as_dict(self) -> dict[str, Any]:
        """The JSON form (`labs status --json`)."""
        return {
            "ready": self.ready,
            "running": self.running,
            "backend": self.backend,
            "name": self.name,
            "unofficial_build": self.unofficial_build,
            "kubeconfig": str(self.kubeconfig),
            "api": self.api,
            "problems": list(self.problems),
            "notes": list(self.notes),
            "components": [
                {
                    "name": component.name,
                    "node": component.node,
                    "state": component.state,
                    "restarts": component.restarts,
                    "pss_mb": component.pss_mb,
                    "last_exit": component.last_exit,
                }
                for component in self.components
            ],
        }


@dataclass(frozen=True)
class UpReport:
    """What `up` did: seconds by phase, and whether the cluster was made, restarted or found running."""

    action: str  # created, restarted, found
    seconds: float
    phases: tuple[tuple[str, float], ...]


class Cluster(Protocol):
    """A cluster of one back end. Every method may be called again after it was interrupted."""

    name: str
    backend: str

    @property
    def directory(self) -> Path:
        """Where its state is kept on the host."""

    @property
    def kubeconfig(self) -> Path:
        """The course's own kubeconfig for it (0600); never the learner's default one."""

    def exists(self) -> bool:
        """Whether there is any state of it, running or not."""

    def up(self, *, rebuild: bool = False) -> UpReport:
        """Make it, or go on where an earlier call stopped, until it is ready; `rebuild` drops a damaged store."""

    def down(self, *, keep: bool = False) -> None:
        """End it; with `keep` its data stays for the next `up`, otherwise nothing of it stays."""

    def status(self) -> ClusterStatus:
        """Look at it, within about a second and without changing it."""

    def kubectl(self) -> Path:
        """The kubectl that fits it."""

    def url(self, service: str, namespace: str, port: int | None = None) -> str:
        """An http URL on this machine's loopback that leads to a Service, until the cluster goes down."""

    def processes(self) -> tuple[int, ...]:
        """Pids on this machine of the processes that all it runs descends from; () where it does not run."""


class SeveralNodes(Cluster, Protocol):
    """A cluster of a back end whose clusters may have several nodes."""

    def nodes(self) -> tuple[NodeStatus, ...]:
        """Every node: its state, and what the API server says of it."""

    def command_node(self, what: str, node: str) -> None:
        """Do `what` (start, stop, partition, heal) to a node; nothing happens where it is as wanted.

        Started or healed, it is waited for until it is Ready. Raises LabsError: no such node, the control plane's, a
        cluster that does not run.
        """
