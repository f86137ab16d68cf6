"""Addresses of Pods, and taking a sandbox's network and pins away. Making them is the shim's (sandbox_init)."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import threading
from collections.abc import Iterable
from pathlib import Path

from labsupport.cluster.embedded import linux
from labsupport.cluster.embedded.runtime import rtnetlink


class NoFreeAddress(Exception):
    """Every address of the node's range is in use."""


class AddressPool:
    """The node's Pod addresses, given out in turn: a freed one is used again as late as possible.

    A client that kept an old Pod's address must not reach a stranger at once. The network's first address is the
    gateway; the last one, its broadcast address, is left out.
    """

    def __init__(self, cidr: str, used: Iterable[str] = (), last: str = "") -> None:
        """`used` addresses are taken already, `last` is the newest one given out."""
        self._network = ipaddress.ip_network(cidr)
        self.gateway = str(self._network[1])
        self.prefix_length = self._network.prefixlen
        self._used = set(used)
        self._count = self._network.num_addresses
        self._last = int(ipaddress.ip_address(last)) - int(self._network[0]) if last else 1
        self._lock = threading.Lock()

    def take(self) -> str:
        """The next free address; raises NoFreeAddress."""
        with self._lock:
            for step in range(1, self._count + 1):
                index = (self._last + step) % self._count
                address = str(self._network[index])
                if 2 <= index <= self._count - 2 and address not in self._used:
                    self._last = index
                    self._used.add(address)
                    return address
        raise NoFreeAddress(f"no free Pod address in {self._network}: {len(self._used)} are in use")

    def give_back(self, address: str) -> None:
        """Make an address free; an unknown or empty one is ignored."""
        with self._lock:
            self._used.discard(address)


def link_name(sandbox_id: str) -> str:
    """The node's end of a sandbox's veth pair (interface names have at most 15 characters)."""
    return "veth" + sandbox_id[:8]


def remove_link(sandbox_id: str) -> None:
    """Delete the veth pair now; with the namespace alone it would go some time later."""
    with rtnetlink.netlink() as link:
        try:
            rtnetlink.delete_link(link, link_name(sandbox_id))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise


def unpin(path: Path) -> None:
    """Take away the file or directory something is mounted on; nothing happens if it is not there."""
    with contextlib.suppress(OSError):  # not mounted
        linux.umount(path)
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
