"""What the control plane says of itself, on its Pod's loopback alone: `labs mesh` asks there with kubectl exec's means.

GET /mesh, /proxies, /topology?seconds=60: JSON, described at the functions below; /tap: a JSON object a line
(telemetry/pages.py, tap.py); / and /view: the topology's page (page.py).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Set
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from labsupport.mesh import names, page
from labsupport.mesh.api import Name
from labsupport.mesh.control import Control
from labsupport.mesh.serve.hub import Proxy
from labsupport.mesh.telemetry import expose, pages
from labsupport.mesh.telemetry.topology import topology
from labsupport.mesh.translate import envoy

KINDS = {
    envoy.CLUSTER: "clusters",
    envoy.ENDPOINTS: "endpoints",
    envoy.LISTENER: "listeners",
    envoy.ROUTES: "routes",
    envoy.SECRET: "secrets",
    envoy.EXTENSION: "extensions",
}
TIMEOUT = 10.0  # seconds for the event loop to answer


def mesh(control: Control) -> dict[str, Any]:
    """Counts, and what is not served as it should be: {"services", "workloads", "proxies", "routes", "refused"}."""
    model = control.model
    refused = {"/".join(reference): why for reference, why in control.refusals().items()}
    return {
        "services": len(model.services),
        "workloads": len(model.workloads),
        "proxies": len(control.hub.proxies),
        "routes": len(model.routes),
        "refused": refused,
        "failures": {f"{part.kind} {part.of}": why for part, why in control.store.failures.items()},
    }


def graph(control: Control, connected: Set[Name], seconds: float) -> dict[str, Any]:
    """Who calls whom: see telemetry/topology.py. In any thread: with many edges the event loop cannot wait for it."""
    return topology(control.telemetry.ledger, control.model, connected, seconds)


def metrics(control: Control) -> str:
    """The same since the start, for Prometheus; in any thread, too."""
    return expose.text(control.telemetry.ledger, len(control.hub.proxies))


def proxies(control: Control) -> list[dict[str, Any]]:
    """Each connected proxy: {"namespace", "pod", "since", "envoy", "synced", "types": {…}, "refusals": […]}.

    Times are seconds since the epoch.
    """
    return [_proxy(each) for each in sorted(control.hub.proxies, key=lambda proxy: proxy.name)]


def _proxy(proxy: Proxy) -> dict[str, Any]:
    types = {}
    for type_url, each in proxy.session.types.items():
        refused = sorted(each.refused)
        waits = bool(each.open or each.nonce or each.alone)
        count = sum(1 for version in each.has.values() if version)
        types[KINDS[type_url]] = {
            "has": count,
            "acknowledged": each.acknowledged,
            "waits": waits,
            "refused": refused,
        }
    refusals = [
        {"kind": KINDS[each.type_url], "names": list(each.names), "message": each.message, "at": each.at}
        for each in proxy.session.refusals
    ]
    namespace, pod = proxy.name
    return {
        "namespace": namespace,
        "pod": pod,
        "since": proxy.since,
        "envoy": proxy.version,
        "synced": proxy.session.synced,
        "types": types,
        "refusals": refusals,
    }


def asking(loop: asyncio.AbstractEventLoop) -> Callable[[Callable[[], Any]], Any]:
    """What calls a function in the event loop, for another thread, and waits for its result."""

    def ask(look: Callable[[], Any]) -> Any:
        async def in_loop() -> Any:
            return look()

        return asyncio.run_coroutine_threadsafe(in_loop(), loop).result(TIMEOUT)

    return ask


def server(control: Control, loop: asyncio.AbstractEventLoop, port: int = names.LOOK) -> ThreadingHTTPServer:
    """A server on loopback; `serve_forever` belongs in a thread of its own."""
    ask = asking(loop)

    def drawn(seconds: float) -> dict[str, Any]:
        return graph(control, ask(lambda: control.hub.connected), seconds)

    class Handler(BaseHTTPRequestHandler):
        """One connection."""

        def do_GET(self) -> None:
            """Answer a GET."""
            path, _, query = self.path.partition("?")
            match path.strip("/").split("/"):
                case ["mesh"]:
                    found = ask(lambda: mesh(control))
                case ["proxies"]:
                    found = ask(lambda: proxies(control))
                case ["topology"]:
                    found = drawn(pages.seconds(query))
                case [""] | ["view"]:
                    self.page(page.answer(self.path, drawn) or b"")
                    return
                case ["tap"]:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/x-ndjson")
                    self.end_headers()
                    pages.stream(control.telemetry.taps, query, self.wfile)
                    return
                case _:
                    found = None
            content = json.dumps(found).encode()
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def page(self, content: bytes) -> None:
            """Answer with the topology's page, or its changing part."""
            self.send_response(200)
            for name, value in page.headers(page.document()).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is inherited)
            """Looks are not logged."""

    made = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    made.daemon_threads = True
    return made
