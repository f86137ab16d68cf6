"""`labs mesh gateways`: the ways into the mesh from outside. Added to `labs mesh` by mesh.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from labsupport.cli.options import DEFAULT_NAME, emit, json_option, name_option

if TYPE_CHECKING:
    from labsupport.mesh.admin.gateways import GatewayState


@click.command("gateways")
@click.option("-n", "--namespace", default="", help="Only of this namespace.")
@name_option
@json_option
@click.pass_context
def gateways_command(ctx: click.Context, namespace: str, name: str, as_json: bool) -> None:
    """List the Gateways: listeners, routes, identity, and how to call them from this machine.

    Exit status 0 only if nothing is wrong with any.
    """
    from labsupport.cli.mesh import connect
    from labsupport.mesh.admin import gateways

    found = gateways.gateways_of(connect(name), namespace)
    emit([each.as_dict() for each in found], as_json=as_json, human=describe(found, name))
    ctx.exit(0 if all(each.ready for each in found) else 1)


def describe(found: Sequence[GatewayState], cluster: str) -> str:
    """The Gateways as a person reads them."""
    from labsupport.cli.meshlook import table

    if not found:
        return "There is no Gateway of the mesh: one has gatewayClassName labs-mesh."
    lines: list[str] = []
    for each in found:
        lines += ["", f"Gateway {each.namespace}/{each.name}: {'ready' if each.ready else each.trouble}"]
        lines.append(f"  calls as  {each.identity}")
        rows = [(e.name, str(e.port), e.hostname, str(e.routes), e.trouble or "yes") for e in each.listeners]
        lines += [f"  {line}" for line in table(("LISTENER", "PORT", "HOST", "ROUTES", "HOLDS"), rows)]
        lines += [f"  {line}" for line in calls(each, cluster)]
    return "\n".join(lines[1:])


def calls(found: GatewayState, cluster: str) -> list[str]:
    """A command for each listener that holds. What a Host header says decides which routes there are."""
    of = "" if cluster == DEFAULT_NAME else f" --name {cluster}"
    lines = []
    for each in found.listeners:
        if not each.trouble:
            host = each.hostname.replace("*", "www", 1)
            header = "" if each.hostname == "*" else f" -H 'Host: {host}'"
            url = f"labs url {found.service} -n {found.namespace} --port {each.port}{of}"
            lines.append(f'curl{header} "$({url})/"')
    return lines
