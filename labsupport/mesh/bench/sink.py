"""A control plane that takes reports, without Kubernetes: `python3 -m labsupport.mesh.bench.sink DIRECTORY...`

The service, its mutual TLS and the collector are those of the real one. Into the directory of each Pod (named like it)
it writes what the Pod's helper would have: key, certificate and roots. Its first line says the port; for each line that
comes it says what was counted, as JSON. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import grpc

from labsupport.mesh import names
from labsupport.mesh.__main__ import reporter
from labsupport.mesh.bench import lane
from labsupport.mesh.identity import ca, serving
from labsupport.mesh.proxy import sds
from labsupport.mesh.telemetry import collect
from labsupport.mesh.telemetry.collect import Collector


def issue(authority: ca.Authority, place: Path) -> None:
    """Write a Pod's secrets into its directory."""
    key = ca.new_key()
    who = ca.Identity(lane.SPACE, place.name, place.name, "uid")
    chain = ca.pem(authority.issue(key.public_key(), who, now=datetime.now(UTC)))
    sds.write(f"{place}/identity.json", sds.identity(chain, ca.key_pem(key)))
    sds.write(f"{place}/control-trust.json", sds.control_trust(authority.roots_pem))
    sds.write(f"{place}/{lane.ROOTS_FILE}", lane.trust(authority.roots_pem))


async def run(places: list[Path]) -> None:
    """Until standard input ends."""
    authority = ca.Authority(ca.new_root("root", datetime.now(UTC)))
    for place in places:
        issue(authority, place)
    own = serving.OwnCertificate(
        lambda: authority, ca.Identity(names.SYSTEM, names.CONTROL, names.CONTROL, "uid")
    )
    found = lane.model(telemetry=True)
    collector = Collector(lambda: found)
    server = grpc.aio.server(options=serving.SERVER_OPTIONS)
    collect.serve(server, collector, reporter)
    port = server.add_secure_port("127.0.0.1:0", serving.server_credentials(own))
    await server.start()
    print(port, flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        ledger = collector.ledger
        edges = {
            f"{edge.source} {edge.service} {edge.reporter}": each.total.requests
            for edge, each in ledger.edges.items()
        }
        said = {"edges": edges, "entries": ledger.entries, "lost": ledger.lost}
        print(json.dumps(said), flush=True)
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(run([Path(each) for each in sys.argv[1:]]))
