from __future__ import annotations

import socket
import threading

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Request, TextMessage

from labsupport.cluster.embedded.runtime import websocket


def test_choice_of_protocol() -> None:
    assert websocket.choose(["v5.channel.k8s.io", "v4.channel.k8s.io"]) == "v4.channel.k8s.io"
    assert websocket.choose(["v5.channel.k8s.io"]) == ""


def test_messages() -> None:
    assert websocket.encode(1, b"hi", text=False) == b"\x01hi"
    assert websocket.encode(1, b"hi", text=True) == "1aGk="
    assert websocket.decode(b"\x00in") == (0, b"in")
    assert websocket.decode("0aW4=") == (0, b"in")


@pytest.mark.parametrize("message", [b"", "", "xaW4=", "0***"])
def test_bad_messages(message: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"."):
        websocket.decode(message)


class Client:
    """A WebSocket client that has done its handshake with a connection under test."""

    def __init__(self, *protocols: str) -> None:
        self.socket, ours = socket.socketpair()
        self.socket.settimeout(5)
        self.wire = WSConnection(ConnectionType.CLIENT)
        hello = self.wire.send(Request(host="node", target="/exec/token", subprotocols=list(protocols)))
        self.server = websocket.Connection(ours, hello)
        threading.Thread(target=self.server.serve, daemon=True).start()
        accept = self.next()
        assert isinstance(accept, AcceptConnection)
        self.accepted = accept.subprotocol

    def next(self) -> Event:
        while True:
            for event in self.wire.events():
                return event
            self.wire.receive_data(self.socket.recv(65536) or None)

    def send(self, event: Event) -> None:
        self.socket.sendall(self.wire.send(event))


def test_version_4_channels() -> None:
    client = Client("v5.channel.k8s.io", "v4.channel.k8s.io")
    assert client.accepted == "v4.channel.k8s.io"
    assert client.server.status_as_json
    client.send(BytesMessage(data=b"\x00hello"))
    client.send(BytesMessage(data=b'\x04{"Width":80}'))
    assert client.server.channels["stdin"].read() == b"hello"
    assert client.server.channels["resize"].read() == b'{"Width":80}'
    client.server.channels["stderr"].write(b"oops")
    event = client.next()
    assert isinstance(event, BytesMessage)
    assert bytes(event.data) == b"\x02oops"


def test_message_in_parts_is_one_message() -> None:
    client = Client("channel.k8s.io")
    client.send(BytesMessage(data=b"\x00hel", message_finished=False))
    client.send(BytesMessage(data=b"lo", message_finished=True))
    assert client.server.channels["stdin"].read() == b"hello"
    assert not client.server.status_as_json


def test_base64_channels() -> None:
    client = Client("base64.channel.k8s.io")
    client.send(TextMessage(data="0aW4="))
    assert client.server.channels["stdin"].read() == b"in"
    client.server.channels["stdout"].write(b"out")
    event = client.next()
    assert isinstance(event, TextMessage)
    assert event.data == "1b3V0"


def test_close_ends_every_channel() -> None:
    client = Client("v4.channel.k8s.io")
    client.send(CloseConnection(code=1000))
    assert client.server.channels["stdin"].read() == b""
    assert client.server.wait_end(5)
