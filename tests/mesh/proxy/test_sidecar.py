"""The sidecar as a whole: the helper, real Envoy, and a control plane that gives certificates and no configuration."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import pytest
from envoy.service.discovery.v3 import discovery_pb2

from labsupport import kube
from labsupport.mesh.https import Server
from labsupport.mesh.identity import ca, endpoint
from labsupport.mesh.identity.csr import Keys
from labsupport.mesh.identity.serving import SERVER_OPTIONS, OwnCertificate, https_context, server_credentials
from labsupport.mesh.proxy import __main__ as main
from labsupport.mesh.proxy import sds
from labsupport.mesh.proxy.bootstrap import bootstrap
from labsupport.mesh.proxy.settings import Settings

CONTROL = ca.Identity("labs-system", "mesh-control", "mesh-control-1", "u-0")
GOOD = "a.good.token"
DELTA = "envoy.service.discovery.v3.AggregatedDiscoveryService"
PROGRAM = (
    "import json, sys; from labsupport.mesh.proxy.__main__ import main; "
    "from labsupport.mesh.proxy.settings import Settings; sys.exit(main(Settings(**json.loads(sys.argv[1]))))"
)


@pytest.fixture(scope="session")
def envoy(envoy_program: Path) -> str:
    return str(envoy_program)


def free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in taken]
    for each in taken:
        each.close()
    return ports


class Control:
    """Certificates over HTTPS, and an ADS that says that there are no listeners and no clusters."""

    def __init__(self) -> None:
        self.authority = ca.Authority(ca.new_root("root-1", datetime.now(UTC)))
        self.ttl = timedelta(hours=1)
        self.peers: list[ca.Identity] = []
        self.nodes: list[str] = []
        own = OwnCertificate(lambda: self.authority, CONTROL, dns=["localhost"])
        handler = endpoint.certificates(None, lambda: self.authority, keys=Keys(), ttl=lambda: self.ttl)
        self.https = Server(0, https_context(own), {endpoint.ROUTE: handler}, address="127.0.0.1")
        self.ads = grpc.server(ThreadPoolExecutor(4), options=SERVER_OPTIONS)
        method = grpc.stream_stream_rpc_method_handler(
            self.stream,
            discovery_pb2.DeltaDiscoveryRequest.FromString,
            discovery_pb2.DeltaDiscoveryResponse.SerializeToString,
        )
        handlers = grpc.method_handlers_generic_handler(DELTA, {"DeltaAggregatedResources": method})
        self.ads.add_generic_rpc_handlers((handlers,))
        self.ads_port = self.ads.add_secure_port("127.0.0.1:0", server_credentials(own))
        self.thread = Thread(target=self.https.run)

    def stream(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        self.peers.append(ca.identity_of(bytes(context.auth_context()["x509_pem_cert"][0])))
        for request in requests:
            if request.node.id:
                self.nodes.append(request.node.id)
            if not request.response_nonce:
                yield discovery_pb2.DeltaDiscoveryResponse(type_url=request.type_url, nonce="1")

    def start(self) -> None:
        self.ads.start()
        self.thread.start()

    def stop(self) -> None:
        self.https.stop()
        self.thread.join()
        self.ads.stop(0).wait()


def api(api: Any, method: str, path: str, *, body: Any = None) -> Any:
    """The API server: one Pod, one token."""
    if path.endswith("/pods/orders-1"):
        return {
            "metadata": {"uid": "u-1"},
            "spec": {"serviceAccountName": "orders"},
            "status": {"phase": "Running"},
        }
    extra = {"pod-name": ["orders-1"], "pod-uid": ["u-1"]}
    return {
        "status": {
            "authenticated": body["spec"]["token"] == GOOD,
            "audiences": body["spec"]["audiences"],
            "user": {
                "username": "system:serviceaccount:shop:orders",
                "extra": {f"authentication.kubernetes.io/{name}": value for name, value in extra.items()},
            },
        }
    }


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Iterator[Control]:
    monkeypatch.setattr(kube, "request", api)
    made = Control()
    made.start()
    yield made
    made.stop()


def settings_for(directory: Path, control: Control, envoy: str) -> Settings:
    admin, probes, health, metrics = free_ports(4)
    (directory / "token").write_text(f"{GOOD}\n")
    (directory / "roots.pem").write_text(control.authority.roots_pem)
    (directory / "state").mkdir()
    return Settings(
        *("orders-1", "shop", "u-1", "127.0.0.1", "orders", "localhost", "env"),
        state=str(directory / "state"),
        token_file=str(directory / "token"),
        roots_file=str(directory / "roots.pem"),
        envoy=envoy,
        https_port=control.https.port,
        ads_port=control.ads_port,
        admin_port=admin,
        probes_port=probes,
        health_port=health,
        metrics_port=metrics,
    )


class Sidecar:
    """A running helper, and its Envoy."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        command = [sys.executable, "-c", PROGRAM, json.dumps(asdict(settings))]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def get(self, port: int, path: str, method: str = "GET") -> tuple[int, str]:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            client.request(method, path)
            answer = client.getresponse()
            return answer.status, answer.read().decode()
        finally:
            client.close()

    def ready(self) -> None:
        until(lambda: self.get(self.settings.probes_port, "/ready")[0] == 200)

    def stat(self, name: str) -> int:
        _, text = self.get(self.settings.admin_port, f"/stats?filter=^{name}$")
        return int(text.rpartition(" ")[2])

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=10)
        return self.process.returncode, log


def until(condition: Callable[[], bool]) -> None:
    """Wait for what only asking can tell."""
    ends = time.monotonic() + 15
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.fixture
def sidecar(tmp_path: Path, control: Control, envoy: str) -> Iterator[Callable[[], Sidecar]]:
    made: list[Sidecar] = []

    def start() -> Sidecar:
        made.append(Sidecar(settings_for(tmp_path, control, envoy)))
        return made[-1]

    yield start
    for each in made:
        if each.process.poll() is None:
            each.end()


def test_the_end_waits_for_requests_that_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    under_way = [2, 1, 0]
    asked: list[str] = []

    def admin(port: int, method: str, target: str) -> str:
        asked.append(f"{method} {target.partition('?')[0]}")
        if method == "POST":
            return "OK\n"
        return f"http.admin.downstream_rq_active: 1\nhttp.inbound.downstream_rq_active: {under_way.pop(0)}\n"

    monkeypatch.setattr(main, "admin", admin)
    main.drain(15000, time.monotonic() + 60)
    assert asked == ["POST /healthcheck/fail", *["GET /stats"] * 3]
    under_way[:] = [1]
    main.drain(15000, time.monotonic() - 1)  # too late: nothing is asked
    assert under_way == [1]


@pytest.mark.parametrize("capture", ["redirect", "env"])
def test_envoy_takes_the_bootstrap(tmp_path: Path, control: Control, envoy: str, capture: str) -> None:
    settings = Settings(
        *("orders-1", "shop", "u-1", "10.244.0.7", "orders"), capture=capture, state=str(tmp_path)
    )
    key = ca.new_key()
    chain = control.authority.issue(key.public_key(), CONTROL, now=datetime.now(UTC))
    sds.write(settings.identity_file, sds.identity(ca.pem(chain), ca.key_pem(key)))
    sds.write(settings.control_trust_file, sds.control_trust(control.authority.roots_pem))
    made = bootstrap(settings)
    assert ("cluster_manager" in made) == (capture == "redirect")  # what marks sockets needs a capability
    sds.write(str(tmp_path / "envoy.json"), made)
    command = [envoy, "--mode", "validate", "-c", str(tmp_path / "envoy.json"), "-l", "warning"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr  # what is deprecated today is an error tomorrow


def test_it_gets_a_certificate_starts_envoy_renews_and_ends(
    control: Control, sidecar: Callable[[], Sidecar]
) -> None:
    control.ttl = timedelta(seconds=4)
    running = sidecar()
    running.ready()
    settings = running.settings
    assert running.get(settings.health_port, "/healthz/ready") == (200, "LIVE\n")
    assert running.get(settings.health_port, "/ready")[0] == 404
    status, metrics = running.get(settings.metrics_port, "/stats/prometheus")
    assert status == 200
    assert "envoy_server_live" in metrics
    assert running.get(settings.metrics_port, "/quitquitquit", "POST")[0] == 404
    # The control plane knows who asks by the certificate, and Envoy says the same of itself.
    assert control.peers == [ca.Identity("shop", "orders", "orders-1", "u-1")]
    assert control.nodes == ["shop/orders-1"]
    first = Path(settings.identity_file).read_text()
    before = running.stat("sds.identity.update_success")
    until(lambda: running.stat("sds.identity.update_success") > before)
    assert Path(settings.identity_file).read_text() != first
    assert running.stat("sds.identity.update_rejected") == 0
    main.drain(settings.admin_port, time.monotonic() + 60)  # nothing is under way, so this takes no minute
    assert running.get(settings.health_port, "/healthz/ready") == (503, "DRAINING\n")
    status, log = running.end()
    assert status == 0
    assert "renewed in" in log
    with pytest.raises(OSError, match="refused"):
        running.get(settings.admin_port, "/ready")


def test_envoys_death_is_the_helpers(sidecar: Callable[[], Sidecar]) -> None:
    running = sidecar()
    running.ready()
    running.get(running.settings.admin_port, "/quitquitquit", "POST")
    _, log = running.process.communicate(timeout=10)
    assert running.process.returncode == 0  # Envoy's own status
    assert "Envoy ended with 0" in log


def test_a_lack_of_inotify_instances_is_told() -> None:
    script = (
        "import resource, os\n"
        "from labsupport.mesh.proxy.__main__ import inotify_shortage\n"
        "import ctypes\n"  # while a file can still be opened
        "assert inotify_shortage() == ''\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))\n"  # EMFILE, as when the user's instances are used up
        "print(inotify_shortage())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "max_user_instances" in done.stdout


def test_without_a_certificate_there_is_no_envoy(tmp_path: Path, control: Control, envoy: str) -> None:
    settings = settings_for(tmp_path, control, envoy)
    (tmp_path / "token").write_text("stolen")
    running = Sidecar(settings)
    assert running.process.stderr
    line = running.process.stderr.readline()
    assert "The API server does not accept the token" in line
    with pytest.raises(OSError, match="refused"):
        running.get(running.settings.admin_port, "/ready")
    assert running.end()[0] == 0


def test_a_control_plane_of_another_root_is_told_nothing(
    tmp_path: Path, control: Control, envoy: str
) -> None:
    settings = settings_for(tmp_path, control, envoy)
    other = ca.Authority(ca.new_root("root-1", datetime.now(UTC)))
    (tmp_path / "roots.pem").write_text(other.roots_pem)
    running = Sidecar(settings)
    assert running.process.stderr
    line = running.process.stderr.readline()
    assert "is not trusted by ConfigMap mesh-trust" in line
    # The kubelet brings the right roots: all is well without a restart.
    (tmp_path / "roots.pem").write_text(control.authority.roots_pem)
    running.ready()
    assert running.end()[0] == 0
