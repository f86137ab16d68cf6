"""What the operator's Jobs run: keys and values into a file on a volume, and from there into a new Quorum.

A back-up has no share and nothing else of the key: that stays where it was made. A file is there whole or not at all.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from pathlib import Path

from labsupport.quorum import configuration
from labsupport.quorum.admin import read_backup
from labsupport.quorum.client import Client
from labsupport.quorum.configuration import Config
from labsupport.quorum.private_file import write

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
SUFFIX = ".quorum"
PATIENCE = 60.0  # seconds for a leader


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line says; the exit status. What was done is printed as one line of JSON."""
    config = configuration.read(arguments.config)
    if not NAME.fullmatch(arguments.name):
        raise ValueError(f"{arguments.name!r} is no name for a back-up")
    client = connect(config, arguments.members, arguments.tokens, arguments.authority)
    file = arguments.directory / f"{arguments.name}{SUFFIX}"
    if arguments.command == "backup":
        told = backup(client, file)
        told["removed"] = prune(arguments.directory, file, arguments.keep)
    else:
        told = restore(client, file, arguments.name)
    print(json.dumps(told))
    return 0


def connect(config: Config, members: int, tokens: Path, authority: Path) -> Client:
    """A client with the admin's token, for all members that there may be."""
    urls = [config.api(f"{config.name}-{number}") for number in range(members)]
    return Client(urls, (tokens / "admin").read_text().strip(), str(authority), PATIENCE)


def backup(client: Client, file: Path) -> dict[str, object]:
    """Write what the store holds now; what was written. A file that is there already is left as it is."""
    if not file.exists():
        data, digest = client.snapshot()
        if hashlib.sha256(data).hexdigest() != digest:
            raise ValueError("what came is not what was sent; try again")
        write(file, data)
    data = file.read_bytes()
    held = read_backup(data)
    return {
        "file": file.name,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "keys": len(held.entries),
        "revision": held.revision,
        "index": held.index,
    }


def restore(client: Client, file: Path, name: str) -> dict[str, object]:
    """Have a new Quorum take over a back-up; again with the same one: nothing. Raises ValueError for what is none."""
    if not file.exists():
        there = ", ".join(sorted(each.stem for each in file.parent.glob(f"*{SUFFIX}"))) or "none"
        raise ValueError(f"there is no back-up {name!r} on this volume; there are: {there}")
    data = file.read_bytes()
    held = read_backup(data)
    client.restore(name, base64.b64encode(data).decode())
    return {"file": file.name, "keys": len(held.entries), "revision": held.revision}


def prune(directory: Path, newest: Path, keep: int) -> list[str]:
    """Remove back-ups of the same schedule but the newest `keep` (0: none is removed); their names."""
    if keep <= 0:
        return []
    stem = newest.stem.rsplit("-", 1)[0]
    same = [each for each in directory.glob(f"{stem}-*{SUFFIX}") if each.stem.rsplit("-", 1)[0] == stem]
    old = sorted(same, key=lambda each: (each.stat().st_mtime, each.name))[:-keep]
    for each in old:
        each.unlink()
        print(f"removed {each.name}", file=sys.stderr)
    return [each.name for each in old]
