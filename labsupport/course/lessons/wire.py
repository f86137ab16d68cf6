"""What somebody sees who reads along: the packets of one Pod, taken by tcpdump in the node's own network.

The Pod `node` of the lab (hostNetwork) does it. What it took is put together to connections, and each direction is read
as far as it can be: HTTP as text, of TLS the messages that are not encrypted (RFC 8446, RFC 5246).
"""

from __future__ import annotations

import base64
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from labsupport import kube
from labsupport.course.views import Table
from labsupport.errors import LabsError
from labsupport.kube.execute import execute
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

NODE = "node"  # the Pod with the node's network
SECONDS = 2.5  # of a capture
LIMIT = patient(20.0)  # seconds for a capture and all around it
FULL = 262144  # bytes of a packet that are kept: all

HANDSHAKE, DATA, ALERT, CHANGE = 22, 23, 21, 20
_MESSAGES = {
    1: "ClientHello",
    2: "ServerHello",
    11: "Certificate",
    13: "CertificateRequest",
    16: "ClientKeyExchange",
}
_VERSIONS = {0x0301: "1.0", 0x0302: "1.1", 0x0303: "1.2", 0x0304: "1.3"}
_SERVER_NAME, _ALPN, _SUPPORTED = 0, 16, 43  # extensions


class End(NamedTuple):
    """One end of a connection."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


@dataclass
class Hello:
    """What of a TLS conversation can be read by anybody."""

    version: str = ""  # the one that the server chose
    protocols: tuple[str, ...] = ()  # offered (ALPN)
    server_name: str = ""
    certificates: int = 0  # Certificate messages that are not encrypted: none in TLS 1.3
    messages: tuple[str, ...] = ()  # the names of those that are not encrypted


@dataclass
class Conversation:
    """One connection: who with whom, and the bytes of both directions as far as they were taken."""

    client: End
    server: End
    opened: bool = False  # whether its begin was seen
    there: bytes = b""
    back: bytes = b""
    packets: int = 0
    _next: dict[End, int] = field(default_factory=dict, repr=False)  # by sender, the number of its next byte

    @property
    def encrypted(self) -> bool:
        """Whether it looks like TLS: at its begin, or at the begin of what was taken of it."""
        return any(looks_like_tls(each) for each in (self.there, self.back))

    @property
    def hello(self) -> Hello:
        """What can be read of its TLS."""
        return read_hello(self.there, self.back)

    @property
    def reading(self) -> str:
        """What can be read, in words."""
        if not self.there and not self.back:
            return "nothing was said"
        if not self.encrypted:
            return " | ".join(each for each in (first_line(self.there), first_line(self.back)) if each)
        hello = self.hello
        if not hello.messages:
            return "TLS, begun before; encrypted"
        offers = f" offers {', '.join(hello.protocols)}" if hello.protocols else ""
        name = f" for {hello.server_name}" if hello.server_name else ""
        seen = f"TLS {hello.version or '?'}:{offers}{name}; in the clear {', '.join(hello.messages)}"
        return f"{seen}; then encrypted"


@dataclass(frozen=True)
class Wire:
    """What was taken: the connections of the Pod `pod` at `address`."""

    pod: str
    address: str
    conversations: tuple[Conversation, ...]

    def contains(self, text: str) -> bool:
        """Whether `text` occurs in what was taken, in either direction of any connection."""
        wanted = text.encode()
        return any(wanted in each.there or wanted in each.back for each in self.conversations)

    @property
    def size(self) -> int:
        """Bytes that were taken, without the packets' heads."""
        return sum(len(each.there) + len(each.back) for each in self.conversations)

    def plain(self) -> list[Conversation]:
        """The connections on which something was said that is not encrypted."""
        return [each for each in self.conversations if (each.there or each.back) and not each.encrypted]

    def _table(self) -> Table:
        rows = [
            (str(each.client), str(each.server), f"{len(each.there)} / {len(each.back)}", each.reading)
            for each in self.conversations[:12]
        ]
        left = len(self.conversations) - len(rows)
        rows += [("", "", "", f"and {left} more")] if left > 0 else []
        many = "" if len(self.conversations) == 1 else "s"
        title = f"On the wire of {self.pod} ({self.address}): {len(self.conversations)} connection{many}"
        return Table(title, ("From", "To", "Bytes there / back", "What can be read"), rows)

    def __str__(self) -> str:
        """The text form."""
        return str(self._table())

    def __repr__(self) -> str:
        """The text form."""
        return str(self)

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()


def watch(
    api: ApiClient,
    namespace: str,
    app: str,
    during: Callable[[str], object] | None = None,
    *,
    seconds: float = SECONDS,
    port: int = 8080,
) -> Wire:
    """What goes over the wire of a Pod with the label `app` for so many seconds; `during` is called meanwhile with the
    Pod's address. What `during` raises is raised.

    Errors: LabsError if there is no such Pod that runs, or the node's Pod cannot look.
    """
    pod, address = pod_of(api, namespace, app)
    # The node has an interface for each Pod, which its routes name.
    begin = (
        f"f=$(mktemp -d); device=$(ip -o route get {address} | grep -oP '(?<= dev )[^ ]+') || exit 0; "
        f"setsid timeout {seconds + LIMIT:g} tcpdump -Z root --immediate-mode -i $device -s {FULL} -U -n -w $f/taken "
        f"'tcp port {port} and host {address}' >/dev/null 2>$f/said & echo $! >$f/pid; "
        "for _ in $(seq 100); do grep -q listening $f/said && break; sleep 0.05; done; echo $f"
    )
    place = execute(api, namespace, NODE, ["bash", "-c", begin], timeout=LIMIT).strip()
    end = time.monotonic() + seconds
    try:
        if during is not None:
            during(address)
        time.sleep(max(0.0, end - time.monotonic()))
    finally:
        # As text, for exec carries text.
        ending = f"cd {place} && kill -INT $(cat pid); sleep 0.1; base64 -w 0 taken; rm -r {place}"
        taken = execute(api, namespace, NODE, ["bash", "-c", ending], timeout=LIMIT)
    capture = base64.b64decode(taken)
    if not capture:
        raise LabsError(
            f"tcpdump took nothing in Pod {NODE}.", fix="look at the Pod: labs kubectl describe pod node"
        )
    return Wire(pod, address, tuple(conversations(capture, End(address, port))))


def pod_of(api: ApiClient, namespace: str, app: str) -> tuple[str, str]:
    """The name and address of a Pod with the label `app` that is ready, if there is one on the node that can be looked
    at, then that. Errors: LabsError if there is none.
    """
    looking = kube.get(api, "v1", "Pod", NODE, namespace) or {"spec": {}}
    near = looking["spec"].get("nodeName")
    found = kube.ready_pods(api, namespace, f"app={app}")
    if not found:
        raise LabsError(
            f"No Pod of {app} is ready, so there is no wire to look at.", fix="labs kubectl get pods"
        )
    chosen = min(found, key=lambda pod: (pod["spec"].get("nodeName") != near, str(pod["metadata"]["name"])))
    return chosen["metadata"]["name"], chosen["status"]["podIP"]


# --- packets


def conversations(capture: bytes, server: End) -> list[Conversation]:
    """The connections in a capture file (pcap), by when they were seen first. `server`: which end is asked."""
    found: dict[tuple[End, End], Conversation] = {}
    for source, target, flags, sequence, payload in segments(capture):
        client, asked = (source, target) if target == server else (target, source)
        if asked != server:
            # The Pod is the one that asks.
            client, asked = (source, target) if source.address == server.address else (target, source)
        each = found.setdefault((client, asked), Conversation(client, asked))
        each.packets += 1
        if flags & 0x02:  # SYN: the next byte is the first
            each.opened = True
            each._next[source] = (sequence + 1) % 2**32
        _append(each, source, sequence, payload)
    return list(found.values())


def _append(each: Conversation, source: End, sequence: int, payload: bytes) -> None:
    """Add a segment's bytes; what was there already (sent again, or seen twice) is left out."""
    if not payload:
        return
    late = (each._next.get(source, sequence) - sequence) % 2**32  # bytes of it that were taken before
    fresh = (
        payload[late:] if late < 2**31 else payload
    )  # numbers begin again at 0; from the other half, it is ahead
    if not fresh:
        return
    each._next[source] = (sequence + len(payload)) % 2**32
    if source == each.client:
        each.there += fresh
    else:
        each.back += fresh


def segments(capture: bytes) -> Iterator[tuple[End, End, int, int, bytes]]:
    """The TCP segments in a capture file: source, target, flags, sequence number, payload. IPv4 over Ethernet."""
    if len(capture) < 24:
        return
    order = "<" if capture[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    link = struct.unpack_from(f"{order}I", capture, 20)[0] & 0xFFFF
    head = {1: 14, 113: 16, 276: 20}.get(link)  # Ethernet, Linux cooked, Linux cooked 2
    if head is None:
        raise LabsError(f"The capture is of a kind (link type {link}) that is not read here.")
    at = 24
    while at + 16 <= len(capture):
        length = struct.unpack_from(f"{order}I", capture, at + 8)[0]
        packet = capture[at + 16 : at + 16 + length]
        at += 16 + length
        found = _segment(packet[head:])
        if found:
            yield found


def _segment(packet: bytes) -> tuple[End, End, int, int, bytes] | None:
    if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != 6:
        return None
    size, total = (packet[0] & 15) * 4, struct.unpack_from("!H", packet, 2)[0]
    source, target = (".".join(map(str, packet[place : place + 4])) for place in (12, 16))
    tcp = packet[size:total]
    if len(tcp) < 20:
        return None
    from_port, to_port, sequence = struct.unpack_from("!HHI", tcp, 0)
    return End(source, from_port), End(target, to_port), tcp[13], sequence, tcp[(tcp[12] >> 4) * 4 :]


# --- what is in them


def looks_like_tls(data: bytes) -> bool:
    """Whether `data` begins with a TLS record."""
    return len(data) >= 3 and data[0] in (CHANGE, ALERT, HANDSHAKE, DATA) and data[1] == 3 and data[2] <= 4


def first_line(data: bytes) -> str:
    """The first line of a text, shortened; of what is none, how many bytes it is."""
    if not data:
        return ""
    line = data.split(b"\r\n", 1)[0][:60]
    return line.decode() if line.isascii() and line.decode().isprintable() else f"{len(data)} bytes"


def records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The TLS records in `data`: their type and content."""
    at = 0
    while at + 5 <= len(data) and looks_like_tls(data[at:]):
        length = struct.unpack_from("!H", data, at + 3)[0]
        yield data[at], data[at + 5 : at + 5 + length]
        at += 5 + length


def read_hello(there: bytes, back: bytes) -> Hello:
    """What of the greeting of both sides can be read by anybody."""
    found, names = Hello(), []
    for direction in (there, back):
        for kind, message in _messages(direction):
            names.append(_MESSAGES.get(kind, f"message {kind}"))
            if kind == 1:
                extensions = _extensions(message, client=True)
                found.protocols = tuple(_protocols(extensions.get(_ALPN, b"")))
                found.server_name = extensions.get(_SERVER_NAME, b"")[5:].decode("ascii", "replace")
            elif kind == 2:
                chosen = _extensions(message, client=False).get(_SUPPORTED, message[:2])
                found.version = _VERSIONS.get(struct.unpack_from("!H", chosen)[0], "?")
            elif kind == 11:
                found.certificates += 1
    found.messages = tuple(names)
    return found


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The handshake messages before the first record that is encrypted."""
    text = b""
    for kind, content in records(data):
        if kind == CHANGE:
            break  # in TLS 1.2 all that follows is encrypted; in 1.3 it means nothing, and what follows is, too
        if kind != HANDSHAKE:
            break
        text += content
    at = 0
    while at + 4 <= len(text):
        length = int.from_bytes(text[at + 1 : at + 4], "big")
        yield text[at], text[at + 4 : at + 4 + length]
        at += 4 + length


def _extensions(message: bytes, *, client: bool) -> dict[int, bytes]:
    """The extensions of a hello."""
    at = 34  # version and random
    at += 1 + message[at]  # session
    if client:
        at += 2 + struct.unpack_from("!H", message, at)[0]  # cipher suites
        at += 1 + message[at]  # compression
    else:
        at += 3
    found = {}
    end = (
        min(len(message), at + 2 + struct.unpack_from("!H", message, at)[0]) if at + 2 <= len(message) else at
    )
    at += 2
    while at + 4 <= end:
        kind, length = struct.unpack_from("!HH", message, at)
        found[kind] = message[at + 4 : at + 4 + length]
        at += 4 + length
    return found


def _protocols(extension: bytes) -> Iterator[str]:
    at = 2
    while at < len(extension):
        length = extension[at]
        yield extension[at + 1 : at + 1 + length].decode("ascii", "replace")
        at += 1 + length
