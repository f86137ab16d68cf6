"""`labs bench`."""

from __future__ import annotations

from pathlib import Path

import click

from labsupport.cli.options import BACKENDS, emit, json_option


@click.group("bench")
def bench_command() -> None:
    """Measure the cluster, and what a learner waits for."""


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


@bench_command.command("course")
@click.argument("labs", nargs=-1, metavar="[LAB]...")
@click.option(
    "--name",
    "name",
    default="",
    help="A running cluster of yours, whose labs are reset; without it one is made and removed.",
)
@json_option
@click.pass_context
def course_command(ctx: click.Context, labs: tuple[str, ...], name: str, as_json: bool) -> None:
    """Times of checks and of lab.start, and memory, over the LABs named or all of them.

    Exit status 0 only if every answer was judged as its lab says. Takes some minutes for each lab.
    """
    from labsupport import cluster as clusters
    from labsupport.cluster.bench import NAME, own_state
    from labsupport.console import note
    from labsupport.course.manifest import find_lab
    from labsupport.course.manifest import labs as all_labs
    from labsupport.course.proofs import bench

    chosen = [find_lab(each) for each in labs] or list(all_labs())

    def say(text: str) -> None:
        note(f"  {text}")

    if name:
        result = bench.measure(clusters.get(name), chosen, say)
    else:
        with own_state():
            cluster = clusters.get(NAME)
            try:
                cluster.up()
                result = bench.measure(cluster, chosen, say)
            finally:
                cluster.down()
    emit(result.as_dict(), as_json=as_json, human=bench.describe(result))
    ctx.exit(1 if result.unexpected else 0)


@bench_command.command("soak")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0.5),
    default=30.0,
    show_default=True,
    help="How long; the first third is not counted.",
)
@json_option
@click.pass_context
def soak_command(ctx: click.Context, minutes: float, as_json: bool) -> None:
    """Whether files, watches, processes or memory of an embedded cluster grow while Pods come and go.

    On a cluster of its own. Exit status 0 only if nothing grows.
    """
    from labsupport.cluster import soak

    result = soak.soak(minutes)
    emit(result.as_dict(), as_json=as_json, human=soak.describe(result))
    ctx.exit(1 if soak.growing_of(result.trends()) else 0)


@bench_command.command("mesh")
@click.option(
    "--part",
    "parts",
    type=click.Choice(("propagation", "pair", "footprint", "scale", "telemetry", "calm")),
    multiple=True,
    help="Only this, may be given several times; without it all.",
)
@json_option
def mesh_command(parts: tuple[str, ...], as_json: bool) -> None:
    """Propagation, cost beside a hand-written pair of proxies, memory, growth, and requests that fail meanwhile.

    But for telemetry (three minutes) on a cluster of its own; takes about ten minutes. On a busy machine the figures
    are upper bounds.
    """
    from labsupport.cluster import meshbench

    found = meshbench.measure(parts or meshbench.PARTS)
    emit(found, as_json=as_json, human=meshbench.describe(found))


@bench_command.command("quorum")
@click.option("--faults", "faults", is_flag=True, help="Break things under load.")
@click.option("--only", multiple=True, help="These faults alone, may be given several times.")
@click.option("--runs", type=click.IntRange(1, 20), default=1, show_default=True, help="How often each.")
@click.option(
    "--resume",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="A file that keeps each run, so that a measurement that was ended goes on.",
)
@json_option
@click.pass_context
def quorum_command(
    ctx: click.Context, faults: bool, only: tuple[str, ...], runs: int, resume: Path | None, as_json: bool
) -> None:
    """What a Quorum does when members, nodes, network and operator break: writes lost, time without a leader.

    On a cluster of three nodes of its own. A fault takes up to a minute and a half; those named operator-at-... are 80
    runs together, as the operator dies after each of its writes once, and take most of an hour. Exit status 0 only if
    nothing was lost and all was right.
    """
    from labsupport.cluster import quorumbench

    if not faults:
        raise click.UsageError("What is to be measured? --faults is all there is.")
    known = quorumbench.names()
    unknown = sorted(set(only) - set(known))
    if unknown:
        raise click.UsageError(f"No fault {', '.join(unknown)}; there are {', '.join(known)}.")
    found = quorumbench.measure(only, runs, resume)
    emit(found, as_json=as_json, human=quorumbench.describe(found))
    if not all(each["final_state_ok"] for each in found["faults"]):
        ctx.exit(1)
