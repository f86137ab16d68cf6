"""The rtnetlink requests that the networks of Pods and nodes need: veth pair, address, link up, route.

Talking to the kernel directly saves two `ip` processes per Pod (about 10 ms) and iproute2 itself.
Source: rtnetlink(7), linux/rtnetlink.h, linux/if_link.h. IPv4 only.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

_REQUEST, _ACK, _CREATE_EXCL = 0x1, 0x4, 0x600
_ERROR = 2
_NEWLINK, _DELLINK, _GETLINK, _NEWADDR, _NEWROUTE = 16, 17, 18, 20, 24
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 3, 18, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS, _NOPREFIXROUTE = 1, 2, 8, 0x200
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC = 1, 4, 5, 7
_TABLE_MAIN, _PROTO_BOOT, _SCOPE_UNIVERSE, _SCOPE_LINK, _UNICAST = 254, 3, 0, 253, 1
_IFF_UP = 1


@contextmanager
def netlink() -> Iterator[socket.socket]:
    """A socket that speaks for the network namespace the caller is in now."""
    with socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
    ) as link:
        link.bind((0, 0))
        yield link


def attribute(kind: int, payload: bytes) -> bytes:
    """One netlink attribute: length, kind, payload, padded to four bytes."""
    length = 4 + len(payload)
    return struct.pack("HH", length, kind) + payload + b"\0" * (-length % 4)


def _request(link: socket.socket, kind: int, flags: int, body: bytes, tried: str) -> bytes:
    header = struct.pack("IHHII", 16 + len(body), kind, _REQUEST | flags, 1, 0)
    link.send(header + body)
    answer = link.recv(1 << 16)
    (answer_kind,) = struct.unpack_from("H", answer, 4)
    if answer_kind == _ERROR:
        (number,) = struct.unpack_from("i", answer, 16)
        if number:
            raise OSError(-number, f"{tried}: {os.strerror(-number)}")
    return answer[16:]


def _interface(index: int = 0, *, up: bool = False) -> bytes:
    state = _IFF_UP if up else 0
    return struct.pack("BxHiII", socket.AF_UNSPEC, 0, index, state, state)


def add_veth(link: socket.socket, name: str, peer: str, peer_namespace: int) -> None:
    """Create the link `name` here and its other end `peer` in the network namespace of that descriptor."""
    other = (
        _interface()
        + attribute(_IFLA_IFNAME, peer.encode() + b"\0")
        + attribute(_IFLA_NET_NS_FD, struct.pack("I", peer_namespace))
    )
    info = attribute(_INFO_KIND, b"veth") + attribute(_INFO_DATA, attribute(_VETH_PEER, other))
    body = _interface() + attribute(_IFLA_IFNAME, name.encode() + b"\0") + attribute(_IFLA_LINKINFO, info)
    _request(link, _NEWLINK, _ACK | _CREATE_EXCL, body, f"create veth {name}")


def index_of(link: socket.socket, name: str) -> int:
    """The number of the interface called `name`."""
    body = _interface() + attribute(_IFLA_IFNAME, name.encode() + b"\0")
    answer = _request(link, _GETLINK, 0, body, f"look up link {name}")
    (index,) = struct.unpack_from("i", answer, 4)
    return int(index)


def set_up(link: socket.socket, index: int) -> None:
    """Bring the interface up."""
    _request(link, _NEWLINK, _ACK, _interface(index, up=True), f"set interface {index} up")


def delete_link(link: socket.socket, name: str) -> None:
    """Delete a link by name; for a veth its other end goes too."""
    body = _interface() + attribute(_IFLA_IFNAME, name.encode() + b"\0")
    _request(link, _DELLINK, _ACK, body, f"delete link {name}")


def add_address(link: socket.socket, index: int, address: str, prefix_length: int) -> None:
    """Give the interface an IPv4 address without the route to its network that the kernel would add."""
    raw = socket.inet_aton(address)
    body = (
        struct.pack("BBBBI", socket.AF_INET, prefix_length, 0, _SCOPE_UNIVERSE, index)
        + attribute(_IFA_LOCAL, raw)
        + attribute(_IFA_ADDRESS, raw)
        + attribute(_IFA_FLAGS, struct.pack("I", _NOPREFIXROUTE))
    )
    _request(link, _NEWADDR, _ACK | _CREATE_EXCL, body, f"add address {address}/{prefix_length}")


def add_route(
    link: socket.socket,
    index: int,
    destination: str | None,
    gateway: str | None = None,
    source: str | None = None,
) -> None:
    """Route one IPv4 address or range (None: everything else) through the interface, or through a gateway on it.

    `source` is the address that the node itself then speaks from.
    """
    scope = _SCOPE_UNIVERSE if gateway else _SCOPE_LINK
    address, _, prefix = (destination or "").partition("/")
    length = int(prefix or 32) if destination else 0
    body = struct.pack(
        "BBBBBBBBI", socket.AF_INET, length, 0, 0, _TABLE_MAIN, _PROTO_BOOT, scope, _UNICAST, 0
    )
    if destination:
        body += attribute(_RTA_DST, socket.inet_aton(address))
    if gateway:
        body += attribute(_RTA_GATEWAY, socket.inet_aton(gateway))
    if source:
        body += attribute(_RTA_PREFSRC, socket.inet_aton(source))
    body += attribute(_RTA_OIF, struct.pack("I", index))
    _request(link, _NEWROUTE, _ACK | _CREATE_EXCL, body, f"add route to {destination or 'default'}")
