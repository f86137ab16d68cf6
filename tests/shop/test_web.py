"""The web server as its callers meet it: over a socket, and as a process that is told to end."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from labsupport.shop import web


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setenv("VERSION", "7")
    server = web.serve(0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def test_one_connection_carries_several_requests(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/a?b=c")
    first = json.loads(connection.getresponse().read())
    used = connection.sock
    connection.request("GET", "/healthz")
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"ok\n")
    assert connection.sock is used
    assert first["path"] == "/a?b=c"
    assert first["version"] == "7"
    assert first["pod"] == os.uname().nodename
    connection.close()


def test_sigterm_ends_it_with_exit_status_0() -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "labsupport.shop.web"],
        env=os.environ | {"PORT": "0"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("serving on port ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=2) == 0
    finally:
        process.kill()
        process.stdout.close()
