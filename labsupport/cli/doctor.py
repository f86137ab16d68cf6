"""`labs doctor`."""

from __future__ import annotations

import click

from labsupport.cli.options import BACKENDS, emit, json_option, name_option
from labsupport.cluster import doctor


@click.command("doctor")
@name_option
@click.option("--backend", type=click.Choice(BACKENDS), default=None, help="Which back end is to run here.")
@json_option
@click.pass_context
def doctor_command(ctx: click.Context, name: str, backend: str | None, as_json: bool) -> None:
    """Find out, by trying, whether this machine can run a cluster, and say the exact step where it cannot.

    Changes nothing. Exit status 0 only if no fatal check failed.
    """
    checks = doctor.examine(name, backend)
    emit(doctor.as_dict(checks), as_json=as_json, human=doctor.describe(checks))
    ctx.exit(0 if doctor.healthy(checks) else 1)
