"""`labs bench`."""

from __future__ import annotations

import click

from labsupport.cli.options import BACKENDS, emit, json_option


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
@click.option(
    "--backend",
    "backends",
    type=click.Choice(BACKENDS),
    multiple=True,
    help="Which, may be given twice; without it all that can run here.",
)
@json_option
def cluster_command(runs: int, backends: tuple[str, ...], as_json: bool) -> None:
    """Times of up, restart and ready Pods, memory, idle CPU, side by side; on clusters of their own, not on yours."""
    from labsupport.cluster import bench
    from labsupport.console import note

    chosen = backends or tuple(backend for backend in BACKENDS if bench.can_run(backend))
    for backend in BACKENDS:
        if not backends and backend not in chosen:
            note(f"  {backend} cannot run here (labs doctor --backend {backend})")
    results = bench.measure(runs, chosen or BACKENDS[:1])
    emit(bench.as_dict(results), as_json=as_json, human=bench.describe(results))
