"""Two real Envoys as a client's and a server's sidecar have them, an application, and the service that they report to.

Nothing is redirected: the client's listeners are called on loopback, and lead to the server's listener by mutual TLS.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from labsupport.cluster import process
from labsupport.mesh import egress, names
from labsupport.mesh.api import Name
from labsupport.mesh.identity import ca
from labsupport.mesh.model import Model
from labsupport.mesh.proxy import bootstrap
from labsupport.mesh.proxy.settings import Settings
from labsupport.mesh.telemetry import collect
from labsupport.mesh.telemetry.collect import Collector
from labsupport.mesh.telemetry.places import Reporter
from labsupport.mesh.telemetry.topology import topology
from labsupport.mesh.translate import envoy, inbound, outbound, routes, services
from labsupport.mesh.translate.envoy import Json
from tests.mesh import samples
from tests.mesh.conftest import DEADLINE, Envoy, wait
from tests.mesh.translate.conftest import Application
from tests.mesh.translate.rbac import with_rules

CLIENT, SERVER = Name("shop", "web-1"), Name("shop", "orders-1")
ACCOUNTS = {CLIENT: "web", SERVER: "orders"}
PORTS = ({"name": "http", "port": 80, "targetPort": 8080}, {"name": "tcp", "port": 90, "targetPort": 9090})


def objects() -> list[samples.Object]:
    """A client, and a Service of one Pod that speaks HTTP and bytes; another Service without a Pod."""
    slices = [{"name": "http", "port": 8080}, {"name": "tcp", "port": 9090}]
    return [
        samples.service("orders", *PORTS, address="127.0.1.1"),
        samples.endpoint_slice("orders", "orders-1@10.244.0.11", ports=slices),
        samples.pod("orders-1", "10.244.0.11", account="orders"),
        samples.pod("web-1", "10.244.0.12", account="web"),
        samples.service("nobody", address="127.0.1.3"),
        samples.service("away", address="127.0.1.4"),
        samples.endpoint_slice("away", "away-1@127.0.0.1"),
        samples.service("spans", {"name": "grpc", "port": 4317, "targetPort": 4317}, address="127.0.1.5"),
    ]


class Sink:
    """The control plane's side: one port for each proxy, since without TLS a port says who comes."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.collector = self.call(self._made())
        self.ports = {pod: self.call(self._serve(pod)) for pod in ACCOUNTS}
        self.spans: list[tuple[dict[str, str], Any]] = []  # the resource's attributes, and a span
        self.traces = self.call(self._serve_traces())

    async def _made(self) -> Collector:
        return Collector(lambda: self.model)

    async def _serve(self, pod: Name) -> int:
        server = grpc.aio.server()
        collect.serve(server, self.collector, lambda context: Reporter(pod, ACCOUNTS[pod]))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        self.servers = [*getattr(self, "servers", ()), server]
        return int(port)

    async def _serve_traces(self) -> int:
        """A collector of spans: OTLP over gRPC (https://opentelemetry.io/docs/specs/otlp/)."""

        async def export(request: Any, context: Any) -> Any:
            for each in request.resource_spans:
                of = {one.key: one.value.string_value for one in each.resource.attributes}
                # Field 2, which is called scope_spans today: these protos are older.
                for scope in each.instrumentation_library_spans:
                    self.spans += [(of, span) for span in scope.spans]
            return trace_service_pb2.ExportTraceServiceResponse()

        handler = grpc.unary_unary_rpc_method_handler(
            export,
            trace_service_pb2.ExportTraceServiceRequest.FromString,
            trace_service_pb2.ExportTraceServiceResponse.SerializeToString,
        )
        name = "opentelemetry.proto.collector.trace.v1.TraceService"
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Export": handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        self.servers = [*self.servers, server]
        return int(port)

    def call(self, task: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(task, self.loop).result(DEADLINE)

    def graph(self) -> dict[str, Any]:
        async def made() -> dict[str, Any]:
            return topology(self.collector.ledger, self.model, set(ACCOUNTS), 300)

        return dict(self.call(made()))

    def edges(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        return {(each["from"], each["to"], each["service"]): each for each in self.graph()["edges"]}

    def end(self) -> None:
        for each in self.servers:
            self.call(each.stop(None))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE)
        self.loop.close()


class Echo(socketserver.ThreadingTCPServer):
    """Sends back what comes."""

    daemon_threads = True

    def __init__(self) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                while found := self.request.recv(65536):
                    self.request.sendall(found)

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def identity(place: Path, authority: ca.Authority, pod: Name) -> None:
    """A key and a certificate, in the file that the helper would write."""
    key = ca.new_key()
    who = ca.Identity(pod.namespace, ACCOUNTS[pod], pod.name, "uid")
    chain = ca.pem(authority.issue(key.public_key(), who, now=datetime.now(UTC)))
    secret = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": names.IDENTITY,
        "tls_certificate": {
            "certificate_chain": {"inline_string": chain},
            "private_key": {"inline_string": ca.key_pem(key)},
        },
    }
    (place / "identity.json").write_text(json.dumps({"resources": [secret]}))


def static(body: Any, place: Path, roots: str) -> Any:
    """A resource without ADS: roots inline, files in the test's own directory."""
    if isinstance(body, dict):
        if body.get("validation_context_sds_secret_config"):
            inside = body["default_validation_context"] | {"trusted_ca": {"inline_string": roots}}
            return {
                "default_validation_context": inside,
                "validation_context_sds_secret_config": {
                    "name": names.TRUST,
                    "sds_config": {"path_config_source": {"path": str(place / "roots.json")}},
                },
            }
        return {key: static(value, place, roots) for key, value in body.items()}
    if isinstance(body, list):
        return [static(each, place, roots) for each in body]
    return body.replace(names.STATE, str(place)) if isinstance(body, str) else body


def cluster(name: str, port: int, **more: Any) -> Json:
    endpoint = {"endpoint": {"address": envoy.address("127.0.0.1", port)}}
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
    return {"name": name, "type": "STATIC", "load_assignment": assignment, **more}


def bound(listener: Json) -> Json:
    """Called itself, at its own address if it is one of loopback; and not handed connections over."""
    host = listener["address"]["socket_address"]["address"]
    place = envoy.address(host if host.startswith("127.") else "127.0.0.1", 0)
    return {**listener, "address": place, "bind_to_port": True}


class Pair:
    """The two proxies. `client(port)`: where a port of the Service orders is called."""

    def __init__(
        self,
        sink: Sink,
        start: Callable[..., Envoy],
        application: int,
        echo: int,
        policies: tuple[list[Json], list[Json]],
    ) -> None:
        model, self.sink = sink.model, sink
        listener = bound(with_rules(inbound.listener(model, model.workloads[SERVER]), model, SERVER))
        # Nothing was redirected: what comes is for the port that it came to, and none of the declared ones.
        chains = [each for each in listener["filter_chains"] if each["name"].startswith("any-")]
        for each in chains:
            last = each["filters"][-1]["typed_config"]
            if "http_filters" in last:
                # The mesh's own policies come by ADS, which is not here.
                own = [one for one in last["http_filters"] if "config_discovery" not in one]
                last["http_filters"] = [*policies[0], *own]
            else:
                each["filters"] = [*policies[1], *each["filters"]]
        server = {**listener, "filter_chains": chains}
        plain = [cluster(inbound.INBOUND, application), cluster(inbound.INBOUND_HTTP2, application)]
        self.server = start(SERVER, [server], plain)
        _, port = self.server.address(inbound.INBOUND)
        # Bytes have an application of their own, and so a proxy of their own.
        self.bytes = start(SERVER, [server], [cluster(inbound.INBOUND, echo), plain[1]])
        found, clusters = [], []
        for name in ("orders", "nobody", "away"):
            service = model.services[Name("shop", name)]
            for each in service.ports:
                (one,) = services.listeners(model, service, each)
                attached = routes.attached_routes(model, service.name, each)
                text = routes.configuration(model, service.name, each, attached)
                for chain in one["filter_chains"]:
                    manager = chain["filters"][0]["typed_config"]
                    if manager.pop("rds", None):
                        manager["route_config"] = {**text, "validate_clusters": False}
                found.append(bound(one))
                for made in services.clusters(model, service, each):
                    place = {
                        "orders": self.bytes.address(inbound.INBOUND)[1] if each.number == 90 else port
                    }.get(name, application)
                    del made["eds_cluster_config"]
                    made |= cluster(made["name"], place)
                    if name == "nobody":
                        made["load_assignment"]["endpoints"] = []
                    clusters.append(made)
        out = bound(outbound.listener(model, egress.default(model)))
        chain = next(each for each in out["filter_chains"] if each["name"] == outbound.PASSTHROUGH)
        found.append(
            {**out, "filter_chains": [chain], "filter_chain_matcher": None, "use_original_dst": None}
        )
        found[-1] = {key: value for key, value in found[-1].items() if value is not None}
        self.client = start(CLIENT, found, [*clusters, cluster(outbound.PASSTHROUGH, echo)])

    def url(self, path: str = "/", service: str = "orders") -> str:
        host, port = self.client.address(f"shop/{service}/80")
        return f"http://{host}:{port}{path}"

    def send(self, data: bytes, listener: str) -> bytes:
        """Over a connection of its own, until it is closed."""
        with socket.create_connection(self.client.address(listener), timeout=10) as sock:
            sock.sendall(data)
            back = sock.recv(len(data)) if data else b""
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(1024):
                pass
            return back

    def entries(self, number: int) -> None:
        """Wait until so many entries have come."""
        wait(lambda: self.sink.collector.ledger.entries >= number, f"{number} entries")


@pytest.fixture
def policies() -> tuple[list[Json], list[Json]]:
    """Filters that the server's proxy has in front: of HTTP, and of bytes."""
    return [], []


@pytest.fixture
def settings() -> list[samples.Object]:
    """A MeshConfig, where a test wants one."""
    return []


@pytest.fixture
def sink(settings: list[samples.Object]) -> Iterator[Sink]:
    made = Sink(samples.model(*objects(), *settings))
    yield made
    made.end()


@pytest.fixture
def start(envoy_program: Path, sink: Sink, tmp_path: Path) -> Iterator[Callable[..., Envoy]]:
    """Starts an Envoy with these listeners and clusters as the sidecar of a Pod."""
    running: list[tuple[subprocess.Popen[bytes], Any]] = []
    authority = ca.Authority(ca.new_root("root", datetime.now(UTC)))

    def begin(pod: Name, listeners: list[Json], clusters: list[Json]) -> Envoy:
        place = tmp_path / f"{pod.name}-{len(running)}"
        place.mkdir()
        identity(place, authority, pod)
        trust = {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            "name": names.TRUST,
            "validation_context": {"trusted_ca": {"inline_string": authority.roots_pem}},
        }
        (place / "roots.json").write_text(json.dumps({"resources": [trust]}))
        control = cluster(
            names.CONTROL_CLUSTER, sink.ports[pod], typed_extension_protocol_options=envoy.HTTP2
        )
        spans = cluster("shop/spans/4317", sink.traces, typed_extension_protocol_options=envoy.HTTP2)
        settings = Settings(pod.name, pod.namespace, "uid", "10.244.0.9", ACCOUNTS[pod])
        config = {
            "node": {"id": str(pod), "cluster": f"{pod.namespace}/{ACCOUNTS[pod]}"},
            "admin": {"address": envoy.address("127.0.0.1", 0)},
            "static_resources": static(
                {"listeners": listeners, "clusters": [*clusters, control, spans]}, place, authority.roots_pem
            ),
        }
        (place / "envoy.json").write_text(json.dumps(config))
        log, address = (place / "envoy.log").open("ab"), place / "admin"
        command = [str(envoy_program), "-c", str(place / "envoy.json"), "--concurrency", "1"]
        command += ["--disable-hot-restart", "-l", "warning", "--admin-address-path", str(address)]
        child = process.start(
            command, stdout=log, stderr=log, env={**os.environ, **bootstrap.environment(settings)}
        )
        running.append((child, log))

        def up() -> str:
            assert child.poll() is None, (place / "envoy.log").read_text()
            return address.read_text() if address.exists() else ""

        made = Envoy(int(wait(up, "Envoy's admin interface").rpartition(":")[2]), child)
        wait(lambda: (made.get("/ready") or "").startswith("LIVE"), "Envoy to be ready")
        return made

    yield begin
    for child, log in running:
        process.end(child)
        log.close()


@pytest.fixture
def pair(sink: Sink, start: Callable[..., Envoy], policies: tuple[list[Json], list[Json]]) -> Iterator[Pair]:
    application, echo = Application("orders"), Echo()
    yield Pair(sink, start, application.port, echo.server_address[1], policies)
    application.end()
    echo.shutdown()
    echo.server_close()
