"""A client's desk in a Pod: one request to a Quorum, or to each of its members, and the answer as a line of JSON.

    python3 -m labsupport.quorum.desk status            {name: what it says of itself, or null}
    python3 -m labsupport.quorum.desk put KEY VALUE     {"revision"}
    python3 -m labsupport.quorum.desk get KEY [--stale] {"value", "revision"}
    python3 -m labsupport.quorum.desk sign TEXT         {"signature", "public_key", "signers"}, in hexadecimal

What the Quorum refuses, or cannot do within `--timeout` seconds, is {"error", "status"}. `--only NAME` asks that member
alone. The Quorum's ConfigMap and Secret are mounted as in its members' Pods.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from labsupport.quorum import configuration
from labsupport.quorum.client import Client, QuorumError

CONFIG, TOKENS = Path("/etc/quorum"), Path("/etc/quorum-tokens")


def statuses(config: configuration.Config, token: str, members: list[str], authority: str) -> dict[str, Any]:
    """What each of the members says of itself; None for one that does not say anything in 3 s."""

    def one(name: str) -> Any:
        url = config.api(name)
        try:
            return Client([url], token, authority).status(url)
        except (QuorumError, requests.RequestException):
            return None

    with ThreadPoolExecutor(len(members)) as pool:
        return dict(zip(members, pool.map(one, members), strict=True))


def request(client: Client, arguments: argparse.Namespace) -> dict[str, Any]:
    """Do what was asked for, by way of the leader. Raises QuorumError."""
    match arguments.word:
        case "put":
            return {"revision": client.put(arguments.key, arguments.value.encode())}
        case "get":
            read = client.get(arguments.key, stale=arguments.stale)
            return {"value": read.value.decode(errors="replace"), "revision": read.revision}
    signed = client.sign(arguments.text.encode())
    return {
        "signature": signed.signature.hex(),
        "public_key": signed.public_key.hex(),
        "signers": list(signed.signers),
    }


def main(words: list[str]) -> int:
    """Run one command; its exit status."""
    parser = argparse.ArgumentParser(prog="desk", description=__doc__)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--only", default="", help="ask this member alone")
    parser.add_argument("--timeout", type=float, default=10.0)
    commands = parser.add_subparsers(dest="word", required=True)
    commands.add_parser("status")
    put, get, sign = (commands.add_parser(each) for each in ("put", "get", "sign"))
    for each in (put, get):
        each.add_argument("key")
    put.add_argument("value")
    get.add_argument("--stale", action="store_true")
    sign.add_argument("text")
    arguments = parser.parse_args(words)
    config = configuration.read(CONFIG / "config.json")
    token, authority = (TOKENS / "client").read_text().strip(), str(CONFIG / "ca.crt")
    members = [arguments.only] if arguments.only else [f"{config.name}-{n}" for n in range(arguments.members)]
    if arguments.word == "status":
        said = statuses(config, token, members, authority)
    else:
        urls = [config.api(each) for each in members]
        try:
            said = request(Client(urls, token, authority, arguments.timeout), arguments)
        except (QuorumError, requests.RequestException) as error:
            said = {"error": str(error), "status": getattr(error, "status", 0)}
    print(json.dumps(said), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
