"""`python -m tests.vm [--debian 12|13] [--run SCRIPT]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from labsupport.console import note
from labsupport.errors import LabsError
from labsupport.paths import REPOSITORY

from . import guest, image, share

SKIPPED = 77


def main(words: list[str]) -> int:
    """Make the machine, run the script in it, and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description=__doc__)
    parser.add_argument("--debian", choices=sorted(image.RELEASES), default="12")
    parser.add_argument(
        "--run", type=Path, metavar="SCRIPT", help="run this there, as the user, instead of the walk"
    )
    parser.add_argument(
        "--source", type=Path, default=REPOSITORY, help="the tree whose HEAD is cloned (default: this one)"
    )
    parser.add_argument(
        "--with",
        dest="further",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="a further package of Debian",
    )
    parser.add_argument("--memory", type=int, default=guest.MEMORY_MB, metavar="MB")
    parser.add_argument("--minutes", type=float, default=60, help="until the machine is ended")
    parser.add_argument(
        "--accelerator", choices=("tcg", "kvm"), help="default: KVM where a kernel really starts under it"
    )
    chosen = parser.parse_args(words)
    try:
        image.require_programs()
    except LabsError as error:
        print(error)
        return SKIPPED
    try:
        return walk(chosen)
    except LabsError as error:
        print(error, file=sys.stderr)
        return 1


def walk(chosen: argparse.Namespace) -> int:
    """One machine, from its disk to its end."""
    cache = image.cache()
    with (
        tempfile.TemporaryDirectory(dir=cache, prefix="vm-run-") as name,
        tempfile.TemporaryDirectory(dir="/var/tmp") as open_to_all,
    ):
        scratch = Path(name)
        results = scratch if chosen.run else REPOSITORY / "test-results"
        results.mkdir(exist_ok=True)
        Path(open_to_all).chmod(0o755)
        clone = Path(open_to_all) / "course"
        image.clone_of(chosen.source, clone)
        made = image.ensure(image.recipe(chosen.debian, chosen.source, tuple(chosen.further)), cache, clone)
        binaries, missing = share.programs(cache)
        if missing:
            note(f"  not in the cache, so not in the machine: {', '.join(missing)}")
        disk = share.make(scratch, clone=clone, script=chosen.run, further=(), binaries=binaries)
        accelerator = chosen.accelerator or ("kvm" if guest.usable_kvm(made, scratch) else "tcg")
        console = results / f"vm-{chosen.debian}-console.txt"
        transcript = results / f"vm-{chosen.debian}.txt"
        console.touch()
        command = guest.command(made, disk, console, accelerator=accelerator, memory_mb=chosen.memory)
        with transcript.open("w") as file:

            def on_line(line: str) -> None:
                print(line, flush=True)
                print(line, file=file, flush=True)

            ended = guest.run(command, console, on_line, seconds=chosen.minutes * 60, silence=900)
        print(ended)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
