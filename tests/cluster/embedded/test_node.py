"""How a node asks its programs whether they are ready."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from labsupport.cluster.embedded import node


class Slow(BaseHTTPRequestHandler):
    """Answers late, as a program does whose machine is slow: with the status that the path names."""

    def do_GET(self) -> None:
        time.sleep(0.15)
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def slow() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_late_answer_counts_while_a_component_starts(slow: str) -> None:
    context = ssl.create_default_context()
    assert node.answer(f"{slow}/200", context, node.START_ANSWER) == 200
    assert node.answer(f"{slow}/500", context, node.START_ANSWER) == 500
    assert node.answer(f"{slow}/200", context, 0.02) == 0


def test_asking_takes_no_more_than_half_of_the_time() -> None:
    assert node.pause(0.001) == node.pause(0.5) == node.READY_POLL
    assert node.pause(1.5) == 1.5
