"""hostPort: a port of the node that leads to a Pod, as one nftables table that is replaced as a whole.

Other runtimes leave this to the CNI plugin "portmap"; the rules are of the same kind.
"""

from __future__ import annotations

import ipaddress
import subprocess
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri
from labsupport.cluster.embedded.runtime.store import Sandbox

TABLE = "labs_hostports"
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Forward:
    """Connections to `port` at `host_ip` ("" for every address of the node) go to `address`:`target`."""

    protocol: str
    host_ip: str
    port: int
    address: str
    target: int


def forwards(sandboxes: Iterable[Sandbox]) -> list[Forward]:
    """What the ready sandboxes ask for. A Pod in the node's network has its ports there anyway."""
    return [
        Forward(
            cri.Protocol.Name(mapping.protocol).lower(),
            "" if mapping.host_ip in ("", "0.0.0.0") else mapping.host_ip,  # noqa: S104
            mapping.host_port,
            sandbox.address,
            mapping.container_port,
        )
        for sandbox in sandboxes
        if sandbox.ready and not sandbox.host_network
        for mapping in sandbox.config.port_mappings
        if mapping.host_port and _is_ipv4(mapping.host_ip)
    ]


def _is_ipv4(host_ip: str) -> bool:
    return not host_ip or ipaddress.ip_address(host_ip).version == 4


def ruleset(wanted: Iterable[Forward]) -> str:
    """The input for `nft -f`: replaces the table in one transaction.

    Connections that the node makes to its own loopback, and a Pod's to its own port, get a source address that the
    answer can find back to.
    """
    redirects, masquerades = [], []
    for item in wanted:
        there = f"ip daddr {item.host_ip}" if item.host_ip else "fib daddr type local"
        redirects.append(f"{there} {item.protocol} dport {item.port} dnat to {item.address}:{item.target}")
        masquerades.append(
            f"ip saddr {{ 127.0.0.0/8, {item.address} }} ip daddr {item.address} ct status dnat masquerade"
        )
    lines = [f"add table ip {TABLE}", f"delete table ip {TABLE}"]
    if redirects:
        lines.append(f"table ip {TABLE} {{")
        for hook in ("prerouting", "output"):
            lines += [f"chain {hook} {{", f"type nat hook {hook} priority -100;", *redirects, "}"]
        lines += ["chain postrouting {", "type nat hook postrouting priority 100;", *masquerades, "}", "}"]
    return "\n".join(lines) + "\n"


def apply(sandboxes: Iterable[Sandbox]) -> None:
    """Make the kernel's table say what the sandboxes ask for; raises OSError with nft's words."""
    with _LOCK:
        rules = ruleset(forwards(sandboxes))
        done = subprocess.run(["nft", "-f", "-"], input=rules, text=True, capture_output=True, check=False)
    if done.returncode:
        raise OSError(f"nft: {done.stderr.strip()}")
