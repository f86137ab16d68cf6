"""Service addresses stay inside, and those that belong to nobody: neither must leave the machine.

A dial to a ClusterIP before its rule is written, or after the Service is gone, would follow the node's default route,
out of the container and on to whatever network the host is on. kube-proxy's rules come first and give the packet a
Pod's address; a packet that still has a Service's is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from labsupport.cluster.kind.docker import Engine, Node
from labsupport.console import note

# TEST-NET-1 (RFC 5737): lab M1 has a Service that leads its callers there. An embedded node has no route to it either.
NOBODY = "192.0.2.0/24"

_RULES = """
for chain in FORWARD OUTPUT; do
    for range in "$0" "$1"; do
        iptables -w -C $chain -d "$range" -j REJECT 2>/dev/null ||
            iptables -w -I $chain -d "$range" -j REJECT || exit 1
    done
done
"""


def keep_services_inside(engine: Engine, nodes: Sequence[Node], subnet: str) -> None:
    """Refuse, on each node, to send on packets that are still for an address in `subnet`, or in NOBODY.

    The rules end with the container, so this is done at each `up`. A node without iptables is told of, and goes on.
    """
    for node in nodes:
        result = engine.run("exec", node.name, "sh", "-c", _RULES, subnet, NOBODY, timeout=30)
        if not result.ok:
            note(
                f"  {node.name}: dials to Services that are not there may leave this machine ({result.reason(1)})"
            )
