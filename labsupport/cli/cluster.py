"""`labs up`, `down`, `status`, `kubectl` and `url`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from labsupport import cluster as clusters
from labsupport.cli.options import BACKENDS, DEFAULT_NAME, emit, json_option, name_option
from labsupport.cluster.interface import ClusterStatus
from labsupport.console import note
from labsupport.errors import LabsError


@click.command("up")
@name_option
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default=None,
    help="What runs it: that of the cluster that there is, else embedded.",
)
@click.option(
    "--nodes",
    type=click.IntRange(1, 9),
    metavar="N",
    help="How many nodes; to an embedded cluster that there is, more are added. Without it: those it has, else one.",
)
@click.option(
    "--image", default=None, metavar="REF", help="kind: the node image; without it one is made here."
)
@click.option(
    "--bundle",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Take what the cluster is made of from this bundle (labs bundle), not from the network.",
)
@click.option("--digest", help="The bundle's digest, as `labs bundle` printed it: nothing else is unpacked.")
@click.option(
    "--rebuild", is_flag=True, help="Drop the data of a cluster whose store is damaged, and make it anew."
)
@json_option
def up_command(
    name: str,
    backend: str | None,
    nodes: int | None,
    image: str | None,
    bundle: Path | None,
    digest: str | None,
    rebuild: bool,
    as_json: bool,
) -> None:
    """Bring the cluster up, or go on where an interrupted `up` stopped; prints its kubeconfig's path.

    Does nothing to a cluster that is up. The embedded back end needs neither root nor Docker.
    """
    if digest and bundle is None:
        raise click.UsageError("--digest belongs to --bundle")
    cluster = clusters.get(name, backend, image=image, nodes=nodes)
    if bundle is not None:
        fill_cache(bundle, digest, cluster.backend)
    report = cluster.up(rebuild=rebuild)
    phases = {phase: round(seconds, 2) for phase, seconds in report.phases}
    data = {
        "name": name,
        "backend": cluster.backend,
        "action": report.action,
        "seconds": round(report.seconds, 2),
        "phases": phases,
        "kubeconfig": str(cluster.kubeconfig),
    }
    emit(data, as_json=as_json, human=str(cluster.kubeconfig))


def fill_cache(bundle: Path, digest: str | None, backend: str) -> None:
    """Unpack what the back end needs and the cache lacks from a bundle, and say what was done."""
    from labsupport import paths
    from labsupport.cluster.bundle import install
    from labsupport.cluster.embedded import idmap
    from labsupport.console import note

    owner_base = idmap.for_this_user().owner_base
    done = install(bundle, digest, paths.cache(), backend=backend, owner_base=owner_base)
    if digest is None:
        note(f"  the bundle was checked against its own list only; its digest is {done.digest}")
    if done.present:
        note(f"  already in the cache: {', '.join(done.present)}")


@click.command("down")
@name_option
@click.option(
    "--keep", is_flag=True, help="Keep the cluster's data: the next `labs up` starts it again with all in it."
)
@json_option
def down_command(name: str, keep: bool, as_json: bool) -> None:
    """End the cluster; nothing of it stays but the cache and what `--keep` names. Your notebooks stay."""
    cluster = clusters.get(name)
    existed = cluster.exists()
    cluster.down(keep=keep)
    if not existed:
        human = f"There is no cluster {name!r}."
    elif keep:
        human = f"Cluster {name!r} is stopped; its data is kept in {cluster.directory}."
    else:
        human = f"Cluster {name!r} is gone."
    emit({"name": name, "existed": existed, "kept": keep and existed}, as_json=as_json, human=human)


@click.command("status")
@name_option
@json_option
@click.pass_context
def status_command(ctx: click.Context, name: str, as_json: bool) -> None:
    """Say how the cluster is, component by component. Exit status 0 only if it is ready."""
    status = clusters.get(name).status()
    emit(status.as_dict(), as_json=as_json, human=describe(status))
    ctx.exit(0 if status.ready else 1)


def describe(status: ClusterStatus) -> str:
    """A status as a person reads it."""
    state = "ready" if status.ready else "running, not ready" if status.running else "not running"
    lines = [f"Cluster {status.name!r} ({status.backend}): {state}"]
    if status.running:
        lines += [f"API         {status.api}", f"kubeconfig  {status.kubeconfig}"]
    if status.unofficial_build:
        lines.append(
            "Its Kubernetes is an unofficial build, made on this machine from the released Go modules."
        )
    if status.components:
        lines += ["", *component_table(status)]
    lines += ["", *status.notes, *status.problems] if status.notes or status.problems else []
    if not status.running:
        lines.append("Next: labs up" + ("" if status.name == DEFAULT_NAME else f" --name {status.name}"))
    return "\n".join(lines)


def component_table(status: ClusterStatus) -> list[str]:
    """The components in columns, by node where there are several."""
    several = len({component.node for component in status.components}) > 1
    names = [
        f"{component.node}  {component.name}" if several else component.name
        for component in status.components
    ]
    width = max(map(len, names))
    head = f"{'NODE':{len(status.components[0].node)}}  COMPONENT" if several else "COMPONENT"
    lines = [f"{head:{width}}  STATE       RESTARTS  MEMORY  LAST EXIT"]
    for name, component in zip(names, status.components, strict=True):
        memory = "" if component.pss_mb is None else f"{component.pss_mb:.0f} MB"
        line = f"{name:{width}}  {component.state:10}  {component.restarts:8}  {memory:>6}"
        lines.append(f"{line}  {component.last_exit}".rstrip())
    known = [component.pss_mb for component in status.components if component.pss_mb is not None]
    lines.append(f"{'all':{width}}  {'':10}  {'':8}  {sum(known):.0f} MB")
    return lines


@click.command(
    "kubectl",
    # Every word is kubectl's own, --help as well.
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": [],
    },
    add_help_option=False,
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def kubectl_command(words: tuple[str, ...]) -> None:
    """Run kubectl on the cluster (of LABS_CLUSTER, default `labs`) with the course's own kubeconfig."""
    cluster = clusters.get(os.environ.get("LABS_CLUSTER", DEFAULT_NAME))
    if not cluster.kubeconfig.exists():
        raise LabsError(f"There is no cluster {cluster.name!r}.", fix="labs up")
    program = cluster.kubectl()
    # In our place, not as a child: signals, the terminal and the exit status are kubectl's without our help.
    os.execve(program, [program.name, *words], {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)})


@click.command("url")
@click.argument("service")
@click.option("-n", "--namespace", default="default", show_default=True, help="The Service's namespace.")
@click.option("--port", type=click.IntRange(1, 65535), help="Which of its ports; not needed if it has one.")
@name_option
@json_option
def url_command(service: str, namespace: str, port: int | None, name: str, as_json: bool) -> None:
    """Print a URL on this machine's loopback that leads to a Service until the cluster goes down.

    Other users of this machine can open it too.
    """
    url = clusters.get(name).url(service, namespace, port)
    note("Open to every user of this machine until `labs down`.")
    emit({"url": url, "service": service, "namespace": namespace}, as_json=as_json, human=url)
