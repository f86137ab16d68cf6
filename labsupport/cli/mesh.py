"""`labs mesh`: bring the mesh onto a cluster, bring it up to date, take it away, and look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from labsupport import cluster as clusters
from labsupport.cli import meshauthz, meshgateways, meshlook, meshsee
from labsupport.cli.options import DEFAULT_NAME, emit, json_option, name_option
from labsupport.console import phase
from labsupport.errors import LabsError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    from labsupport.mesh.admin.status import MeshStatus
    from labsupport.mesh.admin.workloads import Owner


@click.group("mesh")
def mesh_command() -> None:
    """The mesh: Envoy beside each application, and a control plane.

    Namespaces take part by the label mesh.labs.example/inject=true; a Pod opts out by an annotation of the same name
    with the value "false".
    """


@mesh_command.command("install")
@name_option
@json_option
def install_command(name: str, as_json: bool) -> None:
    """Bring the mesh onto the cluster, with the kinds of the Gateway API where the cluster has none."""
    from labsupport.cluster import mesh

    api = connect(name)
    with phase("Installing the mesh") as progress:
        done = mesh.install(api, progress.update)
    human = (
        f"The mesh is there. {done.gateway_api[0].upper()}{done.gateway_api[1:]}.\n"
        f"Next: {kubectl(name)} label namespace NAME mesh.labs.example/inject=true; then restart its Pods"
    )
    emit(done.as_dict(), as_json=as_json, human=human)


@mesh_command.command("upgrade")
@click.option(
    "--restart", is_flag=True, help="Restart the workloads with an older proxy or none, one after another."
)
@name_option
@json_option
def upgrade_command(restart: bool, name: str, as_json: bool) -> None:
    """Apply the manifests again, make the control plane anew, and say whose Pods have an older proxy.

    No request fails for it: the new control plane is there before the old one goes, and proxies go on meanwhile.
    """
    from labsupport.cluster import mesh
    from labsupport.mesh.admin import install

    api = connect(name)
    gateway = mesh.gateway_documents()
    with phase("Upgrading the mesh") as progress:
        done = install.upgrade(api, mesh.documents(), gateway, restart=restart, progress=progress.update)
    lines = ["The mesh's control plane is new.", *(f"restarted: {each}" for each in done.restarted)]
    lines += to_restart(done.open_, "has Pods with an older proxy or none")
    if done.open_ and not restart:
        lines.append("Next: restart them, or labs mesh upgrade --restart")
    emit(done.as_dict(), as_json=as_json, human="\n".join(lines))


@mesh_command.command("uninstall")
@click.option("--restart", is_flag=True, help="Restart the workloads whose Pods still have a proxy.")
@name_option
@json_option
def uninstall_command(restart: bool, name: str, as_json: bool) -> None:
    """Take the mesh off the cluster: all of it, and the kinds of the Gateway API if the course brought them.

    Routes and policies go with their kinds. Pods that have a proxy keep it until they are restarted; until then it
    works on as it did last, at most until its certificate runs out.
    """
    from labsupport.cluster import mesh
    from labsupport.mesh.admin import install, uninstall

    api = connect(name)
    with phase("Removing the mesh") as progress:
        done = uninstall.uninstall(
            api,
            mesh.documents(),
            restart=(lambda owners: install.restart_all(api, owners, progress.update)) if restart else None,
            progress=progress.update,
        )
    lines = ["The mesh is gone." if done.existed else "There was no mesh; what was left of one is gone."]
    lines += [f"restarted: {each}" for each in done.restarted]
    lines += to_restart(done.to_restart, "still has a proxy")
    if done.labelled:
        lines.append(f"Still labelled, to no effect: {', '.join(done.labelled)}")
    emit(done.as_dict(), as_json=as_json, human="\n".join(lines))


@mesh_command.command("rotate")
@name_option
@json_option
def rotate_command(name: str, as_json: bool) -> None:
    """Give the mesh a new root certificate, step by step, without a broken connection.

    Takes some minutes: each step waits until all proxies are ready for it. Interrupted, it goes on where it was.
    """
    from labsupport.mesh.admin import rotate

    api = connect(name)
    with phase("A new root for the mesh") as progress:
        done = rotate.rotate(api, progress.update)
    human = f"{done.root} signs, alone; SHA-256 {done.fingerprint}. {done.proxies} proxies have a certificate of it."
    emit(done.as_dict(), as_json=as_json, human=human)


@mesh_command.command("status")
@name_option
@json_option
@click.pass_context
def status_command(ctx: click.Context, name: str, as_json: bool) -> None:
    """Say how the mesh is, and which Pods of its namespaces have a proxy. Exit status 0 only if it is ready."""
    from labsupport.mesh.admin.status import status

    found = status(connect(name))
    emit(found.as_dict(), as_json=as_json, human=describe(found))
    ctx.exit(0 if found.ready else 1)


def connect(name: str) -> ApiClient:
    """A client for the cluster `name`. Errors: LabsError where there is no such cluster."""
    from labsupport import kube

    cluster = clusters.get(name)
    if not cluster.kubeconfig.exists():
        raise LabsError(f"There is no cluster {name!r}.", fix="labs up")
    return kube.connect(cluster.kubeconfig)


def kubectl(name: str) -> str:
    """How a person calls kubectl on the cluster `name`."""
    return "labs kubectl" if name == DEFAULT_NAME else f"LABS_CLUSTER={name} labs kubectl"


def to_restart(owners: tuple[Owner, ...], why: str) -> list[str]:
    """A line for each workload that somebody must restart."""
    hints = {"Pod": ": make it anew", "Job": ": it ends so, or make it anew"}
    return [f"{each} {why}{hints.get(each.kind, '')}" for each in owners]


def describe(found: MeshStatus) -> str:
    """A mesh's status as a person reads it."""
    if not found.installed and found.webhook == "missing":
        lines = ["There is no mesh on this cluster.", "Next: labs mesh install"]
    else:
        lines = [
            f"The mesh is {'ready' if found.ready else 'not ready'}.",
            f"control plane  {found.control_ready} of {found.control_wanted} ready",
            f"webhook        {found.webhook}",
            f"Gateway API    {found.gateway_api or 'missing'}",
            f"namespaces     {', '.join(found.namespaces) or 'none is labelled mesh.labs.example/inject=true'}",
        ]
    lines += ["", *found.problems] if found.problems else []
    if found.pods:
        width = max(len(f"{each.namespace}/{each.name}") for each in found.pods)
        lines += ["", f"{'POD':{width}}  {'PROXY':8}  READY  STATE"]
        lines += [
            f"{each.namespace + '/' + each.name:{width}}  {each.capture or 'none':8}  "
            f"{'yes' if each.ready else 'no':5}  {_state(each.state, each.note)}"
            for each in found.pods
        ]
    return "\n".join(lines)


def _state(state: str, why: str) -> str:
    """A Pod's state, and what to do about it."""
    words = {
        "current": "as it should be",
        "unknown": "not compared: the webhook could not be asked",
        "left": f"without one on purpose: {why}",
    }
    return words.get(state, f"restart it: {why}")


COMMANDS = (*meshlook.COMMANDS, *meshauthz.COMMANDS, *meshsee.COMMANDS, meshgateways.gateways_command)
for _each in COMMANDS:
    mesh_command.add_command(_each)
