"""`labs bundle`."""

from __future__ import annotations

from pathlib import Path

import click

from labsupport.cli.options import emit, json_option

BACKENDS = ("embedded", "kind")


@click.command("bundle")
@click.option(
    "--output",
    "directory",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to: a new directory, or one with an older bundle, which is renewed.",
)
@click.option(
    "--backend",
    "backends",
    multiple=True,
    type=click.Choice(BACKENDS),
    help="For which back ends; may be given several times.  [default: all]",
)
@json_option
def bundle_command(directory: Path, backends: tuple[str, ...], as_json: bool) -> None:
    """Make all that a cluster needs into files, for machines without a network; prints the bundle's digest.

    On such a machine: labs up --bundle DIR --digest DIGEST.
    """
    from labsupport import paths
    from labsupport.cluster import bundle

    made = bundle.make(directory, paths.cache(), backends or BACKENDS)
    parts = [
        {
            "name": part.name,
            "version": part.version,
            "unofficial": part.unofficial,
            "mb": round(sum(file.size for file in part.files()) / 1e6, 1),
            "unpacked_mb": round(part.unpacked / 1e6, 1),
            "seconds": made.seconds[part.name],
            "kept": part.name in made.kept,
        }
        for part in made.manifest.parts
    ]
    data = {"directory": str(directory), "digest": made.digest, "parts": parts}
    emit(data, as_json=as_json, human=made.digest)
