"""What is done to a running Quorum, by name. Each ends with everything back, so that the Quorum can become whole."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from labsupport import kube
from labsupport.cluster.quorum import SYSTEM
from labsupport.cluster.quorumbench import smalldisk
from labsupport.cluster.quorumbench.place import Place

CUT = 12.0  # seconds that a node is away or cut off
PAUSED = 60.0  # seconds that a member's process stands still: a laptop's lid, a stuck disk
SOON = 1.0  # seconds between an order to the operator and its end


def leader_killed(here: Place) -> None:
    """The leader's Pod ends without a grace period."""
    here.kill(here.leader())


def follower_killed(here: Place) -> None:
    """Another member's Pod does."""
    here.kill(here.followers()[0])


def leader_node_stopped(here: Place) -> None:
    """The node under the leader stops, and comes back."""
    _node(here, here.node_of(here.lead_elsewhere()), "stop", "start")


def follower_node_stopped(here: Place) -> None:
    """A node under a follower stops, and comes back."""
    _node(here, here.node_of(here.on_other_node(here.followers())), "stop", "start")


def leader_partitioned(here: Place) -> None:
    """The leader's node is cut off: it has no majority, the others have."""
    _node(here, here.node_of(here.lead_elsewhere()), "partition", "heal")


def follower_partitioned(here: Place) -> None:
    """A follower's node is cut off: the minority, which must neither write nor disturb who leads when it comes back."""
    _node(here, here.node_of(here.on_other_node(here.followers())), "partition", "heal")


def majority_partitioned(here: Place) -> None:
    """Two of three nodes are cut off, from each other too: nobody has a majority, and nothing may be confirmed."""
    here.cluster.command_node("partition", "node-2")
    try:
        _node(here, "node-3", "partition", "heal")
    finally:
        here.cluster.command_node("heal", "node-2")


def leader_paused(here: Place) -> None:
    """The leader's process stands still for a minute and wakes up believing that it leads."""
    _pause(here, here.leader())


def follower_paused(here: Place) -> None:
    """A follower's does, and is a minute behind."""
    _pause(here, here.followers()[0])


def leader_disk_full(here: Place) -> None:
    """There is no room left on the leader's volume; then there is again."""
    _full(here, here.leader())


def follower_disk_full(here: Place) -> None:
    """Nor on a follower's."""
    _full(here, here.followers()[0])


def operator_killed_growing(here: Place) -> None:
    """Both operators end while the Quorum grows to five, again and again."""
    here.edit(size=5)
    _kill_operators(here, 3)


def operator_killed_shrinking(here: Place) -> None:
    """And while it shrinks to three."""
    here.edit(size=3)
    _kill_operators(here, 3)


def operator_killed_upgrading(here: Place) -> None:
    """And while its release is changed, under the load."""
    here.edit(release="2.0")
    _kill_operators(here, 3)


FAULTS: dict[str, Callable[[Place], None]] = {
    "leader-killed": leader_killed,
    "follower-killed": follower_killed,
    "leader-partitioned": leader_partitioned,
    "follower-partitioned": follower_partitioned,
    "majority-partitioned": majority_partitioned,
    "leader-node-stopped": leader_node_stopped,
    "follower-node-stopped": follower_node_stopped,
    "leader-paused": leader_paused,
    "follower-paused": follower_paused,
    "operator-killed-growing": operator_killed_growing,
    "operator-killed-shrinking": operator_killed_shrinking,
    "operator-killed-upgrading": operator_killed_upgrading,
}
# On a Quorum whose members have small disks.
DISK_FAULTS: dict[str, Callable[[Place], None]] = {
    "leader-disk-full": leader_disk_full,
    "follower-disk-full": follower_disk_full,
}


def _pause(here: Place, member: str) -> None:
    process = here.process_of(member)
    process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(PAUSED)
    finally:
        process.send_signal(signal.SIGCONT)


def _full(here: Place, member: str) -> None:
    smalldisk.fill(here, member)
    try:
        time.sleep(CUT)
    finally:
        smalldisk.make_room(here, member)


def _node(here: Place, node: str, away: str, back: str) -> None:
    here.cluster.command_node(away, node)
    try:
        time.sleep(CUT)
    finally:
        here.cluster.command_node(back, node)


def _kill_operators(here: Place, times: int) -> None:
    """End them, and again as soon as one acts."""
    for _ in range(times):
        time.sleep(SOON)
        for pod in here.operators():
            here.end(pod, SYSTEM)
        kube.until_ready(
            here.api, [kube.Target("apps/v1", "Deployment", "quorum-operator", SYSTEM)], timeout=60
        )
