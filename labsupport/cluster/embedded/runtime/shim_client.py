"""The CRI server's end of the shim's socket: requests with replies, and word of containers that end."""

from __future__ import annotations

import json
import os
import queue
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labsupport.cluster.embedded.runtime import spec
from labsupport.cluster.embedded.runtime.loop import receive_fds

Message = dict[str, Any]
_REPLY_TIMEOUT = 30.0  # seconds; the slowest request, a container's start, takes hundredths
_RETRY = 0.05


class ShimError(Exception):
    """The shim said why it could not do what was asked."""


class ShimClient:
    """One connection to the shim, made again when it breaks."""

    def __init__(
        self,
        path: Path,
        on_exit: Callable[[str, int, int], None],
        on_connect: Callable[[Message], None],
    ) -> None:
        """Connect. `on_exit(id, code, time)` hears of ends, `on_connect(state)` of each new connection."""
        self._path, self._on_exit, self._on_connect = path, on_exit, on_connect
        self._lock = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[Message]] = {}
        self._last = 0
        self._socket = self._connect()

    def start(self) -> None:
        """Begin to listen; the first state of the shim is handled before this returns."""
        ready = threading.Event()
        threading.Thread(target=self._listen, args=(ready,), name="shim", daemon=True).start()
        ready.wait()

    def _connect(self) -> socket.socket:
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(self._path))
                return connection
            except OSError:  # not there yet, or being restarted by the node's supervisor
                connection.close()
                time.sleep(_RETRY)

    def _listen(self, ready: threading.Event) -> None:
        while True:
            connection = self._socket
            connection.sendall(b'{"op": "hello", "rid": 0}\n')
            try:
                for line in connection.makefile("rb"):
                    self._handle(json.loads(line), ready)
            except OSError as error:
                print(f"shim connection: {error}", file=sys.stderr, flush=True)
            print("the shim is gone; connecting again", file=sys.stderr, flush=True)
            connection.close()
            fresh = self._connect()
            with self._lock:
                self._socket = fresh
                lost, self._waiting = self._waiting, {}
            for waiting in lost.values():
                waiting.put({"error": "the container shim ended"})

    def _handle(self, message: Message, ready: threading.Event) -> None:
        if waiting := self._waiting.pop(message.get("rid", 0), None):
            waiting.put(message)
            return
        try:
            if message.get("event") == "exit":
                self._on_exit(message["id"], message["exit_code"], message["finished_at"])
            elif message.get("rid") == 0:
                self._on_connect(message)
                ready.set()
        except Exception:  # one record that cannot be handled must not deafen us to the others
            traceback.print_exc(file=sys.stderr)
            ready.set()

    def call(self, op: str, **arguments: Any) -> Message:
        """Send a request and wait for its reply; raises ShimError with the shim's reason."""
        answer: queue.SimpleQueue[Message] = queue.SimpleQueue()
        with self._lock:
            self._last += 1
            number = self._last
            self._waiting[number] = answer
            request = json.dumps({"op": op, "rid": number, **arguments}).encode() + b"\n"
            try:
                self._socket.sendall(request)
            except OSError as error:
                self._waiting.pop(number, None)
                raise ShimError(f"the container shim does not answer: {error}") from error
        try:
            reply = answer.get(timeout=_REPLY_TIMEOUT)
        except queue.Empty:
            self._waiting.pop(number, None)
            raise ShimError(f"the container shim did not answer {op} in {_REPLY_TIMEOUT:.0f} s") from None
        if error_text := reply.get("error"):
            raise ShimError(error_text)
        return reply

    def attach(self, container_id: str, *, close_stdin: bool) -> socket.socket:
        """A connection carrying a container's output as frames (see shim_container) and taking its input."""
        connection = self._connect()
        request = {"op": "attach", "id": container_id, "close_stdin": close_stdin}
        connection.sendall(json.dumps(request).encode() + b"\n")
        return connection

    def exec(self, wanted: spec.ExecSpec, fds: list[int]) -> Exec:
        """Start a program in a container; without a terminal `fds` are its three standard descriptors."""
        connection = self._connect()
        request = {"op": "exec", "spec": spec.to_json(wanted)}
        socket.send_fds(connection, [json.dumps(request).encode() + b"\n"], fds)
        return Exec(connection)


class Exec:
    """A program that runs in a container. Closing this ends the program."""

    def __init__(self, connection: socket.socket) -> None:
        """Wrap a connection on which an exec was requested."""
        self.connection = connection
        self._buffer = bytearray()
        self._fds: list[int] = []
        self.result: Message | None = None

    def fileno(self) -> int:
        """For select: readable when something is to be received."""
        return self.connection.fileno()

    def _receive(self) -> Message:
        while (end := self._buffer.find(b"\n")) < 0:
            data, fds = receive_fds(self.connection, 4096, 1)
            self._fds += fds
            if not data:
                return {"exit_code": 137}  # the shim died, and the program with it
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return dict(json.loads(line))

    def terminal(self) -> int:
        """Wait for the terminal's descriptor (the caller closes it); raises ShimError if there is none."""
        message = self._receive()
        if not message.get("terminal"):
            self.result = message
            raise ShimError(message.get("error", "the program ended at once"))
        return self._fds.pop(0)

    def wait(self) -> int:
        """Wait for the end and return the exit code; raises ShimError if the program could not be started."""
        if self.result is None:
            self.result = self._receive()
        if "error" in self.result:
            raise ShimError(self.result["error"])
        return int(self.result["exit_code"])

    def close(self) -> None:
        """Hang up: a program that still runs is killed."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()
        self.connection.close()
