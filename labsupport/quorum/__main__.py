"""`python3 -m labsupport.quorum`: a `member` in its Pod; `backup`, `restore`: the operator's Jobs; `load`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from labsupport.errors import LabsError
from labsupport.quorum import configuration, releases
from labsupport.quorum.disk import VolumeError


def main() -> int:
    """Run what the command line names; its exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    parser = argparse.ArgumentParser(prog="quorum", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    member = commands.add_parser("member", help="run a member until SIGTERM")
    for each in (member, commands.add_parser("cheat", help="a member that misbehaves, for labs and tests")):
        each.add_argument("--config", type=Path, default=Path("/etc/quorum/config.json"))
        each.add_argument("--data", type=Path, default=Path("/data"))
        each.add_argument("--tokens", type=Path, default=Path("/etc/quorum-tokens"))
        each.add_argument("--authority", type=Path, default=Path("/etc/quorum/ca.crt"))
    commands.choices["cheat"].add_argument("--how", required=True, help="see quorum/cheats.py")
    for name in ("backup", "restore", "load"):
        job = commands.add_parser(name)
        job.add_argument("--config", type=Path, default=Path("/etc/quorum/config.json"))
        job.add_argument("--tokens", type=Path, default=Path("/etc/quorum-tokens"))
        job.add_argument("--authority", type=Path, default=Path("/etc/quorum/ca.crt"))
        job.add_argument(
            "--members", type=int, required=True, help="how many members to look for the leader among"
        )
        if name == "load":
            job.add_argument("--seconds", type=float, default=60.0)
            job.add_argument("--stop", type=Path, default=None, help="end when there is this file")
            job.add_argument("--writers", type=int, default=3)
            job.add_argument(
                "--pause", type=float, default=0.01, help="seconds between two writes of one writer"
            )
            job.add_argument(
                "--no-history", action="store_true", help="writes alone, no history to be judged"
            )
            continue
        job.add_argument("--directory", type=Path, default=Path("/backups"))
        job.add_argument("--name", required=True, help="of the back-up")
        job.add_argument(
            "--keep", type=int, default=0, help="remove all but this many of the same Quorum (0: none)"
        )
    arguments = parser.parse_args()
    try:
        if arguments.command == "load":
            from labsupport.quorum import load

            return load.run(arguments)
        if arguments.command in ("backup", "restore"):
            from labsupport.quorum import backups

            return backups.run(arguments)
        return asyncio.run(serve(arguments))
    except (LabsError, VolumeError, configuration.BadConfig, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1


async def serve(arguments: argparse.Namespace) -> int:
    """A member with its API, until it is told to end."""
    from labsupport.quorum.pod import InPod

    release = releases.current()
    config = configuration.read(arguments.config)
    running = InPod(
        config,
        os.environ["POD_NAME"],
        release,
        arguments.data,
        arguments.tokens,
        arguments.authority,
        cheat=getattr(arguments, "how", ""),
    )
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    await running.start()
    await stop.wait()
    await running.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
