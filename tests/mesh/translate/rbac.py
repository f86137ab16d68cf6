"""A real Envoy with the inbound listeners of many Pods, an application behind it, and callers with certificates."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labsupport.cluster import process
from labsupport.mesh import names
from labsupport.mesh.api import Name
from labsupport.mesh.authorization import Request
from labsupport.mesh.identity import ca
from labsupport.mesh.model import Model
from labsupport.mesh.proxy import bootstrap
from labsupport.mesh.translate import authorization, envoy, inbound
from labsupport.mesh.translate.envoy import Json
from tests.mesh import samples
from tests.mesh.conftest import wait

POD = Name("shop", "orders-1")
# The application's ports, by what Services say of them; of 7000 they say nothing.
PORTS = {8080: "http", 9090: "tcp", 7000: "any"}
CALLERS = {"shop/web": ("shop", "web"), "shop/api": ("shop", "api"), "other/web": ("other", "web")}
HTTP, TCP = [names.ALPN_MESH, "http/1.1"], [names.ALPN_TCP]
DETAILS = "%RESPONSE_CODE_DETAILS%"
SHADOW = {
    f"x-{action}": f"%DYNAMIC_METADATA(envoy.filters.http.rbac:{action}_shadow_engine_result)%"
    for action in ("deny", "allow")
}


def pod() -> list[Json]:
    """The Pod that is called, and the Service that says what it speaks."""
    ports = [{"name": name, "port": number, "targetPort": number} for number, name in PORTS.items()]
    return [samples.pod(POD.name, "10.244.0.11", account="orders"), samples.service("orders", *ports)]


@dataclass(frozen=True)
class Answer:
    """What came of a request; `rule`: Envoy's id of the rule that refused, "none" if no Allow matched."""

    allowed: bool
    rule: str = ""
    would_refuse: bool = False
    reached: bool = False  # the application has seen it
    text: str = ""


class Application:
    """Answers HTTP with 200 and the path, anything else with what it got; and keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.server = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self.server.accept()[0],), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError), connection.makefile("rwb") as stream:
            while first := stream.readline().decode("latin1"):
                self.seen.append(first)
                body = first
                if " HTTP/1.1" in first:
                    while (line := stream.readline().decode("latin1")).strip():
                        self.seen.append(line)
                    path = first.split()[1]
                    body = f"HTTP/1.1 200 OK\r\nx-path: {path}\r\ncontent-length: 0\r\n\r\n"
                stream.write(body.encode("latin1"))
                stream.flush()


class Pods:
    """The running Envoy."""

    def __init__(
        self, ports: dict[str, int], contexts: dict[tuple[str, str], ssl.SSLContext], application: Application
    ) -> None:
        self.ports, self.contexts, self.application = ports, contexts, application

    @contextmanager
    def connection(self, pod: str, who: str, port: int, protocols: Sequence[str]) -> Iterator[socket.socket]:
        """A connection to a port of a Pod; in plaintext if `who` is nobody."""
        plain = socket.create_connection(("127.0.0.1", self.ports[pod]), timeout=10)
        plain.sendall(f"PROXY TCP4 10.244.0.99 10.244.0.11 40000 {port}\r\n".encode())
        with plain:
            if not who:
                yield plain
                return
            with self.contexts[who, protocols[0]].wrap_socket(plain) as secret:
                yield secret

    def ask(self, pod: str, who: str, request: Request, raw: bytes, mark: str) -> Answer:
        """Send a request as it is written; `mark` is in it and in no other."""
        http = bool(request.method)
        protocols = HTTP if http else TCP
        with self.connection(pod, who, request.port, protocols) as open_:
            said = b""
            with suppress(OSError):
                open_.sendall(raw)
                while more := open_.recv(65536):
                    said += more
                    if not http and said.endswith(b"\n"):
                        break
        reached = any(mark in line for line in self.application.seen)
        text = said.decode("latin1")
        if not http:
            return Answer(bool(text), reached=reached, text=text)
        return read(text, reached)


def read(text: str, reached: bool) -> Answer:
    """What a response says."""
    head, _, body = text.partition("\r\n\r\n")
    status = head.split()[1] if head else "closed"
    if status == "403" and body.startswith("rbac_access_denied_matched_policy["):
        return Answer(False, body.partition("[")[2].rstrip("]"), reached=reached, text=text)
    would = any(f"{name}: denied" in head for name in SHADOW)
    return Answer(status == "200", would_refuse=would, reached=reached, text=text)


def with_rules(listener: Json, model: Model, pod: Name) -> Json:
    """A Pod's inbound listener with the rules in it that come by ECDS, where nobody serves that."""
    rules = {each.key.name: each.body for each in authorization.translate(model, pod)}
    for chain in listener["filter_chains"]:
        for each in chain["filters"]:
            if filters := each["typed_config"].get("http_filters"):
                each["typed_config"]["http_filters"] = [rules.get(one["name"], one) for one in filters]
    return listener


def listener(model: Model, name: str, place: Path) -> Json:
    """The listener of the Pod as it is translated, but for what a control plane and a cluster would have to give it."""
    made = with_rules(inbound.listener(model, model.workloads[POD]), model, POD)
    made |= {"name": name, "address": envoy.address("127.0.0.1", 0)}
    made["listener_filters"] = [
        # In place of what redirection would have kept: where the connection was going.
        envoy.typed("proxy", "extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"),
        *envoy.inspectors(),
    ]
    for chain in made["filter_chains"]:
        for each in chain["filters"]:
            manager = each["typed_config"]
            if "http_filters" in manager:
                format_ = {"text_format_source": {"inline_string": DETAILS}}
                manager["local_reply_config"] = {"body_format": format_}
                (host,) = manager["route_config"]["virtual_hosts"]
                host["response_headers_to_add"] = [
                    {"header": {"key": key, "value": value}} for key, value in SHADOW.items()
                ]
    text = json.dumps(made).replace(names.STATE, str(place))
    by_file = {"path_config_source": {"path": str(place / "trust.json")}, "resource_api_version": "V3"}
    found: Json = json.loads(text.replace(json.dumps(envoy.ADS), json.dumps(by_file)))
    return found


@contextmanager
def running(program: Path, place: Path, models: dict[str, Model]) -> Iterator[Pods]:
    """An Envoy with a Pod for each of these models."""
    application = Application()
    now = datetime.now(UTC)
    authority = ca.Authority(ca.new_root("root-1", now))
    contexts: dict[tuple[str, str], ssl.SSLContext] = {}
    for who, (namespace, account) in {"": ("shop", "orders"), **CALLERS}.items():
        key = ca.new_key()
        issued = authority.issue(key.public_key(), ca.Identity(namespace, account, "pod", "uid"), now=now)
        chain, secret = place / f"{account}-{namespace}.pem", place / f"{account}-{namespace}.key"
        chain.write_text(ca.pem(issued))
        secret.write_text(ca.key_pem(key))
        if who:
            for protocols in (HTTP, TCP):
                context = contexts[who, protocols[0]] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE  # whom they call is not what is tested here
                context.load_cert_chain(chain, secret)
                context.set_alpn_protocols(protocols)
            continue
        files = {"certificate_chain": {"filename": str(chain)}, "private_key": {"filename": str(secret)}}
        (place / "identity.json").write_text(json.dumps({"resources": [
            {"@type": envoy.SECRET, "name": names.IDENTITY, "tls_certificate": files}]}))  # fmt: skip
        trusted = {"trusted_ca": {"inline_string": authority.roots_pem}}
        (place / "trust.json").write_text(json.dumps({"resources": [
            {"@type": envoy.SECRET, "name": names.TRUST, "validation_context": trusted}]}))  # fmt: skip
    behind = {"socket_address": {"address": "127.0.0.1", "port_value": application.port}}
    clusters = [
        {"name": name, "type": "STATIC", "load_assignment": {
            "cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": behind}}]}]}}
        for name in (inbound.INBOUND, inbound.INBOUND_HTTP2)]  # fmt: skip
    listeners = [listener(model, name, place) for name, model in models.items()]
    config: Json = {
        "node": {"id": "pod", "cluster": "test"},
        "admin": {"address": envoy.address("127.0.0.1", 0)},
    }
    config["layered_runtime"] = bootstrap.RUNTIME
    config["static_resources"] = {"listeners": listeners, "clusters": clusters}
    (place / "envoy.json").write_text(json.dumps(config))
    command = [str(program), "-c", str(place / "envoy.json"), "--concurrency", "1", "--disable-hot-restart"]
    log = (place / "envoy.log").open("ab")
    child = process.start(
        [*command, "-l", "warning", "--admin-address-path", str(place / "admin")], stdout=log, stderr=log
    )
    try:
        yield Pods(_ports(place, child), contexts, application)
    finally:
        process.end(child)
        log.close()
        application.server.close()


def _ports(place: Path, child: Any) -> dict[str, int]:
    import http.client

    def said(path: str) -> str:
        assert child.poll() is None, (place / "envoy.log").read_text()
        with suppress(OSError):
            client = http.client.HTTPConnection((place / "admin").read_text(), timeout=10)
            client.request("GET", path)
            return client.getresponse().read().decode()
        return ""

    wait(lambda: said("/ready").startswith("LIVE"), "Envoy to be ready")
    found = json.loads(said("/listeners?format=json"))["listener_statuses"]
    assert "is deprecated" not in (place / "envoy.log").read_text()
    return {each["name"]: each["local_address"]["socket_address"]["port_value"] for each in found}
