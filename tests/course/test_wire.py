"""What is read of a capture: connections put together from packets, and what of TLS is not encrypted."""

from __future__ import annotations

import contextlib
import ssl
import struct
import tempfile

from labsupport.course.certificates import Authority
from labsupport.course.lessons.wire import (
    Conversation,
    End,
    Wire,
    conversations,
    first_line,
    read_hello,
    segments,
)

CLIENT, SERVER = End("10.0.0.1", 40000), End("10.0.0.2", 8080)
SYN, ACK = 0x02, 0x10


def packet(source: End, target: End, sequence: int, payload: bytes = b"", flags: int = ACK) -> bytes:
    tcp = (
        struct.pack("!HHIIBBHHH", source.port, target.port, sequence % 2**32, 0, 5 << 4, flags, 1000, 0, 0)
        + payload
    )
    addresses = b"".join(bytes(map(int, each.address.split("."))) for each in (source, target))
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + addresses
    frame = bytes(12) + b"\x08\x00" + ip + tcp + bytes(6)  # Ethernet pads short frames
    return struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame


def capture(*packets: bytes) -> bytes:
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + b"".join(packets)


def test_segments_come_together_to_a_conversation() -> None:
    taken = capture(
        packet(CLIENT, SERVER, 99, flags=SYN),
        packet(SERVER, CLIENT, 499, flags=SYN | ACK),
        packet(CLIENT, SERVER, 100, b"GET /tea HT"),
        packet(CLIENT, SERVER, 100, b"GET /tea HT"),  # sent again
        packet(CLIENT, SERVER, 107, b"a HTTP/1.1\r\n"),  # sent again, and more
        packet(SERVER, CLIENT, 500, b"HTTP/1.1 200 OK\r\n"),
    )
    (only,) = conversations(taken, SERVER)
    assert (only.client, only.server, only.opened) == (CLIENT, SERVER, True)
    assert only.there == b"GET /tea HTTP/1.1\r\n"
    assert only.back == b"HTTP/1.1 200 OK\r\n"
    assert not only.encrypted
    assert only.reading == "GET /tea HTTP/1.1 | HTTP/1.1 200 OK"


def test_sequence_numbers_may_begin_again_at_zero() -> None:
    taken = capture(
        packet(CLIENT, SERVER, 2**32 - 3, flags=SYN),
        packet(CLIENT, SERVER, 2**32 - 2, b"abcd"),
        packet(CLIENT, SERVER, 2, b"ef"),
        packet(CLIENT, SERVER, 2**32 - 2, b"abcd"),
    )
    assert conversations(taken, SERVER)[0].there == b"abcdef"


def test_what_the_pod_itself_asks_for_is_told_the_right_way_round() -> None:
    other = End("10.0.0.9", 53)
    (only,) = conversations(capture(packet(End("10.0.0.2", 5000), other, 1, b"x")), SERVER)
    assert only.server == other


def test_what_is_no_capture_or_no_tcp_is_nothing() -> None:
    assert list(segments(b"")) == []
    broken = capture(struct.pack("<IIII", 0, 0, 4, 4) + b"abcd")
    assert list(segments(broken)) == []


def greeting(version: ssl.TLSVersion) -> tuple[bytes, bytes]:
    """What both sides send in a real handshake."""
    authority = Authority("the shop")
    issued = authority.issue("payments")
    client = ssl.create_default_context(cadata=authority.certificate)
    client.minimum_version = client.maximum_version = version
    client.set_alpn_protocols(["labs.mesh", "h2"])
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(issued.certificate + issued.key)
        file.flush()
        server.load_cert_chain(file.name)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, out := ssl.MemoryBIO(), server_hostname="payments")
    answering = server.wrap_bio(to_server, back := ssl.MemoryBIO(), server_side=True)
    there_bytes = back_bytes = b""
    for _ in range(4):
        for side in (asking, answering):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
            sent, answered = out.read(), back.read()
            to_server.write(sent)
            to_client.write(answered)
            there_bytes += sent
            back_bytes += answered
    return there_bytes, back_bytes


def test_tls_1_3_shows_two_messages_and_no_certificate() -> None:
    hello = read_hello(*greeting(ssl.TLSVersion.TLSv1_3))
    assert hello.version == "1.3"
    assert hello.messages == ("ClientHello", "ServerHello")
    assert hello.certificates == 0
    assert hello.protocols == ("labs.mesh", "h2")
    assert hello.server_name == "payments"


def test_tls_1_2_shows_the_certificate() -> None:
    there, back = greeting(ssl.TLSVersion.TLSv1_2)
    hello = read_hello(there, back)
    assert hello.version == "1.2"
    assert hello.certificates == 1
    assert b"payments" in back


def test_a_wire_says_what_is_plain_and_what_is_not() -> None:
    there, back = greeting(ssl.TLSVersion.TLSv1_3)
    secret = Conversation(CLIENT, SERVER, True, there, back)
    open_ = Conversation(End("10.0.0.3", 1), SERVER, True, b"GET / HTTP/1.1\r\n", b"")
    silent = Conversation(End("10.0.0.4", 1), SERVER)
    wire = Wire("web-1", SERVER.address, (secret, open_, silent))
    assert wire.plain() == [open_]
    assert wire.contains("GET /")
    assert not wire.contains("spiffe://")
    assert "TLS 1.3: offers labs.mesh, h2 for payments" in str(wire)
    assert "nothing was said" in str(wire)
    assert "<table" in wire._repr_html_()


def test_tls_that_began_before_is_told_as_such() -> None:
    later = Conversation(CLIENT, SERVER, False, b"\x17\x03\x03\x00\x05abcde", b"")
    assert later.encrypted
    assert later.reading == "TLS, begun before; encrypted"


def test_what_is_no_text_is_counted() -> None:
    assert first_line(b"\x00\x01\x02") == "3 bytes"
    assert first_line(b"") == ""
