"""`labs conformance`."""

from __future__ import annotations

from pathlib import Path

import click

from labsupport.cli.options import BACKENDS, emit, json_option


@click.group("conformance")
def conformance_command() -> None:
    """Run suites that others wrote against the cluster."""


@conformance_command.command("kubernetes")
@click.option(
    "--focus", metavar="RE", help="Only tests whose whole name this regular expression (Go's) matches."
)
@click.option(
    "--sig",
    "sigs",
    multiple=True,
    metavar="NAME",
    help="Only tests of this group, for instance node or apps.",
)
@click.option("--quick", is_flag=True, help="A selection of at most five minutes.")
@click.option(
    "--processes", type=click.IntRange(1, 64), help="Tests side by side; without it three for each processor."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep the suite's own report, JUnit XML and console text here.",
)
@click.option(
    "--name", default="", help="A running embedded cluster of yours; without it one is made and removed."
)
@click.option(
    "--nodes",
    type=click.IntRange(min=1),
    help="Nodes of the cluster that is made; without it one. A cluster of yours has its own number.",
)
@json_option
@click.pass_context
def kubernetes_command(
    ctx: click.Context,
    focus: str | None,
    sigs: tuple[str, ...],
    quick: bool,
    processes: int | None,
    output: Path | None,
    name: str,
    nodes: int | None,
    as_json: bool,
) -> None:
    """Kubernetes' own end-to-end tests tagged [Conformance], inside the cluster's namespaces.

    Builds the suite first where it is not in the cache (12 minutes). Exit status 0 only if nothing failed.
    """
    from labsupport.cluster.conformance import clusters, results, suite

    choice = suite.Choice(sigs, focus, quick, processes)
    with clusters.running(name, nodes) as directory:
        found = suite.run(directory, choice, output, tidy=bool(name))
    emit(found.as_dict(), as_json=as_json, human=results.describe(found))
    ctx.exit(0 if found.ok else 1)


@conformance_command.command("mesh")
@click.option("--focus", metavar="RE", help="Only tests whose name this regular expression (Go's) matches.")
@click.option(
    "--profile",
    "profiles",
    metavar="NAME[,NAME]",
    default="",
    help="Only tests of these profiles: MESH-HTTP, MESH-GRPC; without it both.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep the suite's own report and console text here.",
)
@click.option("--name", default="", help="A running cluster of yours; without it one is made and removed.")
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default=None,
    help="What runs the cluster that is made; without it embedded.",
)
@json_option
@click.pass_context
def mesh_command(
    ctx: click.Context,
    focus: str | None,
    profiles: str,
    output: Path | None,
    name: str,
    backend: str | None,
    as_json: bool,
) -> None:
    """The Gateway API's conformance suite for meshes, with mutual TLS required in its namespaces.

    Builds the suite first where it is not in the cache (3 minutes). On a cluster of yours a mesh that is there is used,
    and one that is not is installed and removed. Exit status 0 only if nothing failed.
    """
    from labsupport.cluster.conformance import clusters, gateway, gateway_results

    if name and backend:
        raise click.UsageError("--backend is for a cluster that is made for the run; leave out --name")
    choice = gateway.Choice(tuple(filter(None, profiles.split(","))), focus)
    gateway.arguments(
        choice, gateway.load(), Path()
    )  # what is wrong with it is said before a cluster is made
    with clusters.running(name, backends=(backend,) if backend else BACKENDS) as directory:
        found = gateway.run(directory, choice, output, tidy=bool(name))
    emit(found.as_dict(), as_json=as_json, human=gateway_results.describe(found))
    ctx.exit(0 if found.ok else 1)
