"""Boot a stock Debian without a network and walk through the course's first minutes there, as an ordinary user.

`python -m tests.vm [--debian 12|13]`; `--run SCRIPT` runs something else there. The transcript, the kernel's console
and the report are kept in test-results/. Exit status 0 only if all held; 77 where this machine lacks what it needs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labsupport import paths
from labsupport.cluster import process
from labsupport.console import note, phase
from labsupport.errors import LabsError
from labsupport.paths import REPOSITORY

from . import guest, image, report, share

SKIPPED = 77
SILENCE = 1800.0  # seconds without a line after which a machine is held to hang


def arguments(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description=__doc__)
    parser.add_argument("--debian", choices=sorted(image.RELEASES), default="12")
    parser.add_argument(
        "--run",
        type=Path,
        metavar="SCRIPT",
        help="run this there instead of the walk; its lines come as they are",
    )
    parser.add_argument(
        "--source",
        type=Path,
        default=REPOSITORY,
        metavar="DIR",
        help="the tree whose HEAD is cloned (default: this one)",
    )
    parser.add_argument(
        "--with",
        dest="further",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="a further package of Debian in the machine",
    )
    parser.add_argument("--memory", type=int, default=guest.MEMORY_MB, metavar="MB")
    parser.add_argument("--minutes", type=float, default=150, help="until the machine is ended")
    parser.add_argument(
        "--accelerator", choices=("tcg", "kvm"), help="default: KVM where a kernel really starts under it"
    )
    parser.add_argument("--json", action="store_true", help="the report as JSON on standard output")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Make the machine, run it, report."""
    chosen = arguments(words)
    try:
        image.require_programs()
    except LabsError as error:
        print(error)
        return SKIPPED
    try:
        with process.termination_raised():  # so that a killed run leaves no directory behind
            return run_script(chosen) if chosen.run else walk(chosen)
    except LabsError as error:
        print(error, file=sys.stderr)
        return 1


def run_script(chosen: argparse.Namespace) -> int:
    """A script of the caller's: its lines, and its exit status."""
    said: list[str] = []

    def on_line(line: str) -> None:
        said.append(line)
        if report.record(line) is None:
            print(line, flush=True)

    with machine(chosen, chosen.run) as (words, scratch):
        console = scratch / "console"
        ended = guest.run(words(console), console, on_line, seconds=chosen.minutes * 60, silence=SILENCE)
    status = report.collect(said)[2]
    note(f"  the machine ran {ended.seconds:.0f} s ({ended.accelerator}); the script's status: {status}")
    return 1 if status is None else status


def walk(chosen: argparse.Namespace) -> int:
    """The walk, with what it leaves in test-results/."""
    results = REPOSITORY / "test-results"
    results.mkdir(exist_ok=True)
    console, transcript = results / f"vm-{chosen.debian}-console.txt", results / f"vm-{chosen.debian}.txt"
    said: list[str] = []
    trouble, ended = "", None
    began = time.monotonic()
    with machine(chosen, image.INSIDE / "walk.py") as (words, _), transcript.open("w") as file:

        def on_line(line: str) -> None:
            said.append(line)
            print(f"{time.monotonic() - began:7.1f}  {line}", file=file, flush=True)
            print(report.progress(line), file=sys.stderr, flush=True)

        try:
            ended = guest.run(words(console), console, on_line, seconds=chosen.minutes * 60, silence=SILENCE)
        except LabsError as error:
            trouble = str(error)
    facts, steps, status = report.collect(said)
    found = report.Report(
        chosen.debian,
        accelerator=ended.accelerator if ended else "",
        seconds=round(ended.seconds if ended else time.monotonic() - began, 1),
        boot_seconds=round(ended.boot_seconds, 1) if ended and ended.boot_seconds else None,
        host_mb=ended.peak_mb if ended else 0,
        facts=facts,
        steps=steps,
        status=status,
        kernel=report.grave(console.read_text(errors="replace")),
        trouble=trouble,
    )
    (results / f"vm-{chosen.debian}.json").write_text(json.dumps(found.as_dict(), indent=1) + "\n")
    print(json.dumps(found.as_dict()) if chosen.json else report.describe(found))
    note(f"  transcript: {transcript}; the kernel's console: {console}")
    return 0 if found.ok else 1


@contextmanager
def machine(chosen: argparse.Namespace, script: Path) -> Iterator[tuple[guest.Words, Path]]:
    """What starts the machine that was asked for, given a file for its console, and a directory of the run's own."""
    cache = paths.cache()
    paths.private_directory(cache / "vm")
    with (
        # Beside the programs, whose copies cost nothing then.
        tempfile.TemporaryDirectory(dir=cache / "vm", prefix=image.RUN) as name,
        tempfile.TemporaryDirectory(dir="/var/tmp", prefix="labs-vm-clone-") as for_all,
    ):
        scratch, clone = Path(name), Path(for_all) / "course"
        Path(for_all).chmod(0o755)
        image.clone_of(chosen.source, clone)
        made = image.ensure(image.recipe(chosen.debian, chosen.source, tuple(chosen.further)), cache, clone)
        binaries, missing = share.programs(cache)
        if missing and not chosen.run:
            raise LabsError(
                f"the machine has no network, and the cache lacks what a cluster needs: {', '.join(missing)}",
                fix="labs up (and labs down) here first: it fetches or builds them",
                anchor="programs",
            )
        with phase("what is shared with the machine"):
            disk = share.make(scratch, clone=clone, script=script, binaries=binaries)
        accelerator = chosen.accelerator or ("kvm" if guest.usable_kvm(made, scratch) else "tcg")
        note(f"  accelerator: {accelerator}")

        def words(console: Path) -> list[str]:
            console.write_bytes(b"")
            return guest.command(made, disk, console, accelerator=accelerator, memory_mb=chosen.memory)

        yield words, scratch


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
