"""`labs build`: the notebooks, from the labs' sources."""

from __future__ import annotations

import click

from labsupport.cli.options import emit, json_option


@click.command("build")
@click.option("--check", is_flag=True, help="Write nothing; fail if a notebook is not what its source gives.")
@json_option
def build_command(check: bool, as_json: bool) -> None:
    """Generate the learner's and the solution notebooks from labs/source."""
    from labsupport.course import authoring
    from labsupport.paths import REPOSITORY

    written = [str(path.relative_to(REPOSITORY)) for path in authoring.build(check=check)]
    human = "\n".join(f"written: {path}" for path in written) or "All notebooks are what their sources give."
    emit({"written": written}, as_json=as_json, human=human)
