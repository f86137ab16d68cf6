"""`labs bench`."""

from __future__ import annotations

import click

from labsupport.cli.options import emit, json_option


@click.group("bench")
def bench_command() -> None:
    """Measure the cluster."""


@bench_command.command("cluster")
@click.option(
    "--runs",
    type=click.IntRange(1, 50),
    default=5,
    show_default=True,
    help="How often it is made and restarted.",
)
@json_option
def cluster_command(runs: int, as_json: bool) -> None:
    """Times of up, restart and ready Pods, memory, idle CPU; on a cluster of its own, not on yours."""
    from labsupport.cluster.bench import describe, measure

    result = measure(runs)
    emit(result.as_dict(), as_json=as_json, human=describe(result))
