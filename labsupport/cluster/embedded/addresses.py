"""Names and addresses of the nodes, and the routes between them, as pure functions. Standard library only.

Node 1 holds the control plane; each further node, a worker, hangs on one cable from it, and node 1 forwards between
them. Every route names a range of the cluster: there is no default route, so nothing can leave.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_NODES = 9  # each takes memory as if it were a machine of its own
NAME = re.compile(r"node-([1-9])")
NODES_CIDR = "192.168.77.0/24"
PODS_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_IP = "10.96.0.1"
DNS_SERVICE_IP = "10.96.0.10"
WORKER_LINK = "eth0"  # the worker's end of its cable; node 1's end is called as the worker is


@dataclass(frozen=True)
class Addresses:
    """What the number of a node (1 for the first) decides."""

    number: int

    @property
    def name(self) -> str:
        """The node's name in Kubernetes, and node 1's end of its cable."""
        return f"node-{self.number}"

    @property
    def ip(self) -> str:
        """The node's address."""
        return f"192.168.77.{self.number}"

    @property
    def pod_cidr(self) -> str:
        """The range of its Pods' addresses."""
        return f"10.244.{self.number - 1}.0/24"

    @property
    def is_first(self) -> bool:
        """Whether it holds the control plane."""
        return self.number == 1


FIRST = Addresses(1)


def workers(count: int) -> tuple[Addresses, ...]:
    """The workers of a cluster of `count` nodes."""
    return tuple(Addresses(number) for number in range(2, count + 1))


def named(name: str) -> Addresses | None:
    """The node of that name; None where no node can have it."""
    found = NAME.fullmatch(name)
    return Addresses(int(found[1])) if found else None


def network_commands(node: Addresses) -> tuple[str, ...]:
    """What a node's first process does to its network, as lines for `ip -batch`.

    The node's address is on the loopback device. Without a route for the Service range the kernel would refuse a
    Service's address before kube-proxy's rules see it. A worker reaches the other nodes and their Pods through node 1,
    and answers for itself where a Pod address of its own range has no Pod: else node 1 would send it back.
    """
    alone = (
        "link set lo up",
        f"addr add {node.ip}/32 dev lo",
        f"route add {SERVICE_CIDR} dev lo src {node.ip}",
    )
    if node.is_first:
        return alone
    through = f"via {FIRST.ip} dev {WORKER_LINK} src {node.ip}"
    return (
        *alone,
        f"addr add {node.ip}/32 dev {WORKER_LINK} noprefixroute",
        f"link set {WORKER_LINK} up",
        f"route add {FIRST.ip}/32 dev {WORKER_LINK} src {node.ip}",
        f"route add {NODES_CIDR} {through}",
        f"route add {PODS_CIDR} {through}",
        f"route add unreachable {node.pod_cidr}",
    )


def cut_rules(number: int, device: str, *, cut: bool) -> str:
    """The input for `nft -f` that makes a node deaf to all that arrives on `device`, or hears it again.

    Used at both ends of a cable: what is sent is lost without a word, as with a switch that has failed.
    """
    table = f"labs_partition_{number}"
    lines = [f"add table ip {table}", f"delete table ip {table}"]
    if cut:
        lines += [
            f"table ip {table} {{",
            "chain arriving {",
            # Before all else that looks at packets, connection tracking as well.
            "type filter hook prerouting priority -450;",
            f'iifname "{device}" drop',
            "}",
            "}",
        ]
    return "\n".join(lines) + "\n"
