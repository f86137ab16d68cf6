"""`labs report`."""

from __future__ import annotations

from pathlib import Path

import click

from labsupport.cli.options import emit, json_option, name_option
from labsupport.cluster.report import make


@click.command("report")
@name_option
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="The archive's path (.tar.gz)."
)
@json_option
def report_command(name: str, output: Path | None, as_json: bool) -> None:
    """Make one archive of logs, states and versions for asking help, without secrets, names and home paths.

    Look into it before you send it to anyone.
    """
    made = make(name, output)
    counts = f"{len(made.files)} files, {made.replacements} places redacted"
    human = f"{made.path}\n{counts}; look into it before you send it."
    data = {"path": str(made.path), "files": list(made.files), "replacements": made.replacements}
    emit(data, as_json=as_json, human=human)
