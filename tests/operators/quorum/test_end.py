"""An operator that is told to end does so, and gives its Lease up: the other need not wait until it has run out."""

from __future__ import annotations

import signal
import subprocess
import sys

from labsupport.patience import patient

# Leads, in front of an API server that has no kinds at all, and says when it runs.
LEADS = """
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import kopf
from labsupport.operators.quorum_operator import handlers, operator
from labsupport.operators.quorum_operator.metrics import Metrics
from tests.operators.quorum.fakes import FakeApi, Writes

class Empty(BaseHTTPRequestHandler):
    def do_GET(self):
        content = b'{"versions": [], "groups": []}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

server = ThreadingHTTPServer(("127.0.0.1", 0), Empty)
threading.Thread(target=server.serve_forever, daemon=True).start()
kopf.login_with_service_account = lambda **_: kopf.ConnectionInfo(server=f"http://127.0.0.1:{server.server_port}")
register = handlers.register

def and_tell(registry, of):
    register(registry, of)
    kopf.on.startup(registry=registry)(lambda **_: print("runs", flush=True))

handlers.register = and_tell
stop = threading.Event()
operator.lead(FakeApi(Writes()), lambda what: None, Metrics(), stop)
print("ended", stop.is_set(), flush=True)
"""


def test_sigterm_ends_it_and_is_passed_on() -> None:
    with subprocess.Popen([sys.executable, "-c", LEADS], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "runs\n"
        running.send_signal(signal.SIGTERM)
        try:
            said, _ = running.communicate(timeout=patient(15))
        finally:
            running.kill()
    assert said == "ended True\n"
