from __future__ import annotations

import json
import os
import queue

import pytest

from labsupport.cluster.embedded.runtime import exec as execution
from labsupport.cluster.embedded.runtime import streaming
from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri


class Recorded:
    """A channel that gives prepared data and keeps what is written."""

    def __init__(self, *data: bytes) -> None:
        self.waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        for part in (*data, b""):
            self.waiting.put(part)
        self.written = b""

    def read(self) -> bytes:
        return self.waiting.get()

    def write(self, data: bytes) -> None:
        self.written += data

    def finish(self) -> None:
        return


def test_token_is_valid_once() -> None:
    tokens = streaming.Tokens()
    request = cri.ExecRequest(container_id="c")
    token = tokens.add(request)
    assert tokens.take(token) == request
    assert tokens.take(token) is None
    assert tokens.take("guess") is None


def test_token_grows_old(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = streaming.Tokens()
    now = [1000.0]
    monkeypatch.setattr(streaming.time, "monotonic", lambda: now[0])
    token = tokens.add(cri.ExecRequest())
    now[0] += 61
    assert tokens.take(token) is None


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        (cri.ExecRequest(stdout=True, stderr=True), {"error", "stdout", "stderr"}),
        (cri.ExecRequest(stdin=True, stdout=True, tty=True), {"error", "stdin", "stdout", "resize"}),
        (cri.AttachRequest(stdout=True, stderr=True, tty=True), {"error", "stdout", "resize"}),
    ],
)
def test_wanted_channels(request_: cri.ExecRequest, names: set[str]) -> None:
    assert streaming.wanted_channels(request_) == names


def test_status_objects() -> None:
    assert streaming.status_object(0, "")["status"] == "Success"
    failure = streaming.status_object(3, "")
    assert failure["reason"] == "NonZeroExitCode"
    assert json.loads(json.dumps(failure))["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    assert streaming.status_object(126, "no such file")["message"] == "no such file"


def test_sizes_in_pieces() -> None:
    seen: list[tuple[int, int]] = []
    channel = Recorded(b'{"Width":80,"Hei', b'ght":24}{"Width":100,"Height":30}\n', b'{"Width":"x"}')
    execution.resize_from(channel, lambda height, width: seen.append((height, width)))
    assert seen == [(24, 80), (30, 100)]


def test_copies() -> None:
    read, write = os.pipe()
    execution.copy_in(Recorded(b"ab", b"c"), write)
    out = Recorded()
    execution.copy_out(read, out)
    assert out.written == b"abc"
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(read)
