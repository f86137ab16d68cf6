"""Answers the Pod's probes: the kubelet asks here, and the helper asks the application, from inside the Pod.

Under strict mTLS the kubelet itself cannot ask the application: it has no certificate. Nor could it trust the answer
for a plain TCP port, since the proxy accepts connections for an application that is not there. A question from inside
goes to the Pod's own address over the loopback interface, which is not captured (capture.py).

Each check does what the kubelet does (kubernetes/pkg/probe): httpGet is fine from 200 to 399 and follows redirects on
the same host; tcpSocket is fine once a connection opens; grpc wants SERVING (grpc.health.v1).
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from labsupport.mesh.proxy import wire
from labsupport.mesh.proxy.settings import Probes, Settings

PREFIX = "/probes/"
READY = "/ready"
TOGETHER = 32  # questions at once; the port is open to the whole cluster, and memory is small
ANSWER = 5.0  # seconds for the question to come and for the answer to go
READY_POLL = 0.02  # seconds; Envoy has no way to tell by itself
REDIRECTS = 10  # as the kubelet
AGENT = "kube-probe/1.0"  # applications know the kubelet by how this begins
SERVING = b"\x08\x01"  # HealthCheckResponse{status: SERVING}
QUESTION_LIMIT = 16 * 1024  # bytes of a request to the helper
CURL = ("curl", "--silent", "--show-error", "--noproxy", "*")

Verdict = tuple[bool, str]


def check(ip: str, probe: Mapping[str, Any]) -> Verdict:
    """Do one probe (a Pod's, ports as numbers) against `ip`: whether it is fine, and what was seen."""
    timeout = float(probe.get("timeoutSeconds") or 1)
    try:
        if "httpGet" in probe:
            return _http(ip, probe["httpGet"], timeout)
        if "tcpSocket" in probe:
            wire.connect((ip, int(probe["tcpSocket"]["port"])), timeout).close()
            return True, "the port is open"
        if "grpc" in probe:
            return _grpc(ip, probe["grpc"], timeout)
    except TimeoutError:
        return False, f"no answer within {timeout:g} s"
    except OSError as error:
        return False, str(error)
    return False, f"this is no probe that can be done here: {', '.join(probe)}"


def _http(ip: str, get: Mapping[str, Any], timeout: float) -> Verdict:
    ends = time.monotonic() + timeout
    secure = str(get.get("scheme") or "HTTP").upper() == "HTTPS"
    place = (ip, int(get["port"]))
    host = f"[{ip}]:{place[1]}" if ":" in ip else f"{ip}:{place[1]}"
    path = str(get.get("path") or "/")
    path = path if path.startswith("/") else f"/{path}"
    headers = {"Host": host, "User-Agent": AGENT, "Accept": "*/*"}
    for each in get.get("httpHeaders") or []:
        known = next((name for name in headers if name.lower() == each["name"].lower()), each["name"])
        headers[known] = each["value"]
    for _ in range(REDIRECTS):
        left = ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        answer = (_over_tls if secure else _plainly)(place, path, headers, left)
        if not 300 <= answer.status < 400 or "location" not in answer.headers:
            break
        target = _same_host(answer.headers["location"], secure, place, path)
        if target is None:
            return True, f"status {answer.status}, which leads to another host"
        secure, place, path = target
    else:
        return False, f"more than {REDIRECTS} redirects"
    return 200 <= answer.status < 400, f"status {answer.status}"


def _plainly(place: tuple[str, int], path: str, headers: Mapping[str, str], timeout: float) -> wire.Answer:
    with wire.connect(place, timeout) as connection:
        return wire.exchange(connection, "GET", path, headers, read_body=False)


def _over_tls(place: tuple[str, int], path: str, headers: Mapping[str, str], timeout: float) -> wire.Answer:
    """Any certificate will do, as for the kubelet: a probe asks whether there is life, not who lives."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with wire.connect(place, timeout) as plain, context.wrap_socket(plain) as secured:
        return wire.exchange(secured, "GET", path, headers, read_body=False)


def _same_host(
    location: str, secure: bool, place: tuple[str, int], path: str
) -> tuple[bool, tuple[str, int], str] | None:
    """Where a redirect leads, or None where that is another host."""
    from urllib.parse import urljoin, urlsplit  # half a megabyte, and redirects of probes are rare

    ip, port = place
    base = f"{'https' if secure else 'http'}://{f'[{ip}]' if ':' in ip else ip}:{port}{path}"
    to = urlsplit(urljoin(base, location))
    if to.hostname != ip or to.scheme not in ("http", "https"):
        return None
    target = (to.path or "/") + (f"?{to.query}" if to.query else "")
    return to.scheme == "https", (ip, to.port or (443 if to.scheme == "https" else 80)), target


def _grpc(ip: str, grpc: Mapping[str, Any], timeout: float) -> Verdict:
    """grpc.health.v1.Health/Check by curl: HTTP/2 is more than is written down here in a few lines."""
    service = str(grpc.get("service") or "").encode()
    message = b"\x0a" + _varint(len(service)) + service if service else b""  # HealthCheckRequest{service}
    host = f"[{ip}]" if ":" in ip else ip
    command = [
        *CURL,
        *("--http2-prior-knowledge", "--max-time", f"{timeout:g}", "--data-binary", "@-"),
        *("--dump-header", "/dev/stderr", "--user-agent", AGENT),
        *("--header", "Content-Type: application/grpc"),
        *("--header", "TE: trailers"),  # codespell:ignore te
        f"http://{host}:{int(grpc['port'])}/grpc.health.v1.Health/Check",
    ]
    question = b"\0" + len(message).to_bytes(4, "big") + message  # not compressed, length, message
    done = subprocess.run(command, input=question, capture_output=True)
    if done.stdout[5:] == SERVING:
        return True, "SERVING"
    told = [
        line
        for line in done.stderr.decode(errors="replace").splitlines()
        if line.startswith(("grpc-", "curl:"))
    ]
    if done.stdout:
        return (
            False,
            f"the answer is not SERVING (grpc.health.v1 status {done.stdout[5:].hex() or 'UNKNOWN'})",
        )
    return False, ", ".join(told) or f"no answer (curl ended with {done.returncode})"


def _varint(number: int) -> bytes:
    """As Protocol Buffers write whole numbers: seven bits a byte, the lowest first."""
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def envoy_ready(admin_port: int) -> bool:
    """Whether Envoy has its configuration and takes connections."""
    try:
        with wire.connect(("127.0.0.1", admin_port), 1.0) as connection:
            return (
                wire.exchange(connection, "GET", "/ready", {"Host": "envoy"}, read_body=False).status == 200
            )
    except OSError:
        return False


class Server:
    """Listens from the start: a question that comes before Envoy runs waits, and is not refused."""

    def __init__(self, settings: Settings, ready: Callable[[int], bool] = envoy_ready) -> None:
        """Errors: OSError where the port is taken."""
        self._probes: Probes = settings.probes
        self._ip, self._admin = settings.ip, settings.admin_port
        self._ready = ready
        self._room = threading.BoundedSemaphore(TOGETHER)
        self._listening = socket.create_server(("", settings.probes_port), backlog=64)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listening.getsockname()[1])

    def run(self) -> None:
        """Answer until `close`. A thread for each question: checks wait for the application."""
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return  # closed
            if self._room.acquire(blocking=False):
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()
            else:
                connection.close()

    def close(self) -> None:
        """Hang up; whoever waits in `accept` wakes."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _one(self, connection: socket.socket) -> None:
        try:
            with connection, contextlib.suppress(OSError):  # who asked may have gone
                connection.settimeout(ANSWER)
                question = b""
                while b"\r\n\r\n" not in question and len(question) < QUESTION_LIMIT:
                    part = connection.recv(4096)
                    if not part:
                        return
                    question += part
                words = question.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
                status, text = self.answer(words[1], connection) if len(words) == 3 else (400, "no HTTP")
                body = f"{text}\n".encode()
                head = (
                    f"HTTP/1.1 {status} {'OK' if status == 200 else 'No'}\r\n"
                    "Content-Type: text/plain; charset=utf-8\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                connection.sendall(head.encode() + body)
        finally:
            self._room.release()

    def answer(self, path: str, connection: socket.socket) -> tuple[int, str]:
        """The status and text for `path`: READY, or PREFIX and the key of a probe."""
        if path == READY and connection.getpeername()[0].startswith(
            "127."
        ):  # it may take long: not for strangers
            self._await_ready(connection)
            return 200, "ready"
        probe = self._probes.get(path.removeprefix(PREFIX)) if path.startswith(PREFIX) else None
        if probe is None:
            return 404, f"there is no probe at {path}"
        fine, seen = check(self._ip, probe)
        return (200 if fine else 503), seen

    def _await_ready(self, connection: socket.socket) -> None:
        """Wait for Envoy as long as who asks does: a control plane that is away delays Pods, and fails none.

        Errors: OSError once who asked has hung up.
        """
        connection.settimeout(READY_POLL)
        while not self._ready(self._admin):
            with contextlib.suppress(TimeoutError):
                if not connection.recv(1):
                    raise ConnectionAbortedError
        connection.settimeout(ANSWER)
