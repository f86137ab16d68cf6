"""A real Envoy with the routes of many Services, and applications behind it that say what came to them."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from labsupport.cluster import process
from labsupport.mesh.api import Settings
from labsupport.mesh.model import Model
from labsupport.mesh.translate import envoy, routes, services
from labsupport.mesh.translate.envoy import Json
from tests.mesh import samples
from tests.mesh.conftest import wait

BACKENDS = ("orders", "v2", "copy")


class Server(ThreadingHTTPServer):
    """An HTTP server that many may call at once."""

    request_queue_size = 256
    daemon_threads = True


class Application:
    """An HTTP server that answers with what it was asked; on /slow not before it is told to."""

    def __init__(self, name: str) -> None:
        self.seen: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self.go = threading.Event()
        self.status = 200
        self.heals = False  # after one answer of another status it answers 200
        self.breaks = False  # it ends the connection without an answer
        application = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                headers = [[key.lower(), value] for key, value in self.headers.items()]
                said = {"app": name, "method": self.command, "path": self.path, "headers": headers}
                application.seen.put({**said, "body": self.rfile.read(length).decode()})
                if self.path == "/slow":
                    application.go.wait(10)
                if application.breaks:
                    self.close_connection = True
                    return
                content = json.dumps(said).encode()
                self.send_response(application.status)
                application.status = 200 if application.heals else application.status
                self.send_header("x-answer", "old")
                self.send_header("x-secret", "s")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def end(self) -> None:
        self.go.set()
        self.server.shutdown()
        self.server.server_close()


@dataclass(frozen=True)
class Answer:
    """What a client gets."""

    status: int
    headers: list[tuple[str, str]]
    text: str

    @property
    def seen(self) -> dict[str, Any]:
        """What the application says that it was asked."""
        found: dict[str, Any] = json.loads(self.text)
        return found

    def sent(self, name: str) -> list[str]:
        """The values of a header that the application got."""
        return [value for key, value in self.seen["headers"] if key == name]

    def header(self, name: str) -> list[str]:
        """The values of a header of the answer."""
        return [value for key, value in self.headers if key.lower() == name]


class Routed:
    """Services with routes, each behind a port of its own on loopback."""

    def __init__(
        self,
        ports: dict[str, int],
        applications: Mapping[str, Sequence[Application]],
        admin: Callable[[str], str],
        log: Path,
    ) -> None:
        self.ports, self.pods, self.admin, self.log = ports, applications, admin, log

    def stat(self, service: str, name: str) -> int:
        """A number of a Service's cluster at its port 80."""
        said = self.admin(f"/stats?filter=cluster.shop/{service}/80.{name}$")
        return int(said.rpartition(" ")[2] or 0)

    def get(
        self,
        service: str,
        path: str = "/",
        *,
        method: str = "GET",
        host: str = "",
        port: int = 80,
        **headers: str,
    ) -> Answer:
        """A request to a port of a Service; `x_a="b"` is the header x-a."""
        client = http.client.HTTPConnection("127.0.0.1", self.ports[f"shop/{service}/{port}"], timeout=30)
        try:
            client.putrequest(method, path, skip_host=True)
            client.putheader("host", host or service)
            for key, value in headers.items():
                client.putheader(key.replace("_", "-"), value)
            client.endheaders()
            answer = client.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read().decode())
        finally:
            client.close()


# What a cluster has for Pods of the mesh, and not here: endpoints by ADS, TLS, HTTP/2.
OF_THE_MESH = ("eds_cluster_config", "transport_socket", "typed_extension_protocol_options")


def static(model: Model, pods: Mapping[str, Sequence[Application]]) -> Json:
    """Envoy's configuration without a control plane: the same routes and clusters, of plain endpoints."""
    model = model.with_settings(Settings(telemetry=False))
    listeners, clusters = [], []
    for name, service in model.services.items():
        for port in service.ports:
            (listener,) = services.listeners(model, service, port)
            (chain,) = listener["filter_chains"]
            manager = chain["filters"][0]["typed_config"]
            if manager.pop("rds", None):
                attached = routes.attached_routes(model, name, port)
                configuration = routes.configuration(model, name, port, attached)
                manager["route_config"] = {
                    **configuration,
                    "validate_clusters": False,
                }  # as for those by name
            place = envoy.address("127.0.0.1", 0)
            listeners.append({**listener, "address": place, "bind_to_port": True})
            for cluster in services.clusters(model, service, port) if name.name in pods else ():
                behind = [
                    {"endpoint": {"address": envoy.address("127.0.0.1", pod.port)}} for pod in pods[name.name]
                ]
                assignment = {"cluster_name": cluster["name"], "endpoints": [{"lb_endpoints": behind}]}
                own = {key: value for key, value in cluster.items() if key not in OF_THE_MESH}
                clusters.append({**own, "type": "STATIC", "load_assignment": assignment})
    return {
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }


@pytest.fixture(scope="module")
def serve(envoy_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Routed]]:
    """Starts an Envoy with Services of these objects, and with applications behind some."""
    made: list[Application] = []
    running = []

    def start(objects: list[samples.Object], counts: Mapping[str, int] | None = None) -> Routed:
        """`counts`: how many applications there are behind Services; one behind each of BACKENDS if it is left out."""
        place = tmp_path_factory.mktemp("envoy")
        backends = [] if counts else [samples.service(name) for name in BACKENDS]
        pods = {
            name: [Application(name if count == 1 else f"{name}-{number}") for number in range(count)]
            for name, count in (counts or dict.fromkeys(BACKENDS, 1)).items()
        }
        made.extend(each for behind in pods.values() for each in behind)
        config = static(samples.model(*backends, *objects), pods)
        (place / "envoy.json").write_text(json.dumps(config))
        command = [str(envoy_program), "-c", str(place / "envoy.json"), "--concurrency", "1"]
        command += ["--disable-hot-restart", "-l", "warning", "--admin-address-path", str(place / "admin")]
        log = (place / "envoy.log").open("ab")
        child = process.start(command, stdout=log, stderr=log)
        running.append((child, log))

        def said(path: str) -> str:
            text = (place / "admin").read_text() if (place / "admin").exists() else ""
            assert child.poll() is None, (place / "envoy.log").read_text()
            with suppress(OSError):  # not yet
                client = http.client.HTTPConnection(text, timeout=10)
                client.request("GET", path)
                return client.getresponse().read().decode()
            return ""

        wait(lambda: said("/ready").startswith("LIVE"), "Envoy to be ready")
        found = json.loads(said("/listeners?format=json"))["listener_statuses"]
        ports = {each["name"]: each["local_address"]["socket_address"]["port_value"] for each in found}
        assert "is deprecated" not in (place / "envoy.log").read_text()
        return Routed(ports, pods, said, place / "envoy.log")

    yield start
    for child, log in running:
        process.end(child)
        log.close()
    for application in made:
        application.end()
