"""`labs mesh proxies`, `config`, `routes`, `describe`: looking into the mesh. Added to `labs mesh` by mesh.py."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from labsupport.cli.options import emit, json_option, name_option

if TYPE_CHECKING:
    from labsupport.mesh.admin.look import ProxyState, RouteState
    from labsupport.mesh.admin.running import Outbound, Running

namespace_option = click.option("-n", "--namespace", default="default", show_default=True, help="Of the Pod.")


@click.command("proxies")
@name_option
@json_option
@click.pass_context
def proxies_command(ctx: click.Context, name: str, as_json: bool) -> None:
    """List the connected proxies: whether each has its configuration, and what it refused last.

    Exit status 0 only if all have what they should.
    """
    from labsupport.cli.mesh import connect
    from labsupport.mesh.admin import look

    found = look.proxies(connect(name))
    emit([each.as_dict() for each in found], as_json=as_json, human=describe_proxies(found, time.time()))
    ctx.exit(0 if all(each.synced for each in found) else 1)


@click.command("config")
@click.argument("pod")
@namespace_option
@click.option("--envoy", is_flag=True, help="Envoy's own resources, as JSON.")
@name_option
@json_option
def config_command(pod: str, namespace: str, envoy: bool, name: str, as_json: bool) -> None:
    """Show what the proxy of a Pod runs: asked of the proxy itself."""
    from labsupport.cli.mesh import connect
    from labsupport.mesh.admin import look, running

    resources = look.dump(connect(name), namespace, pod)
    found = running.read(resources)
    emit(resources if envoy else asdict(found), as_json=as_json or envoy, human=describe_config(found))


@click.command("routes")
@click.option("-n", "--namespace", default="", help="Only of this namespace.")
@name_option
@json_option
@click.pass_context
def routes_command(ctx: click.Context, namespace: str, name: str, as_json: bool) -> None:
    """List the routes of Services and what is said of them. Exit status 0 only if nothing is wrong with any."""
    from labsupport.cli.mesh import connect
    from labsupport.mesh.admin import look

    found = look.routes(connect(name), namespace)
    data = [{**asdict(each), "ok": each.ok} for each in found]
    emit(data, as_json=as_json, human=describe_routes(found))
    ctx.exit(0 if all(each.ok for each in found) else 1)


@click.command("describe")
@click.argument("pod")
@namespace_option
@name_option
@json_option
def describe_command(pod: str, namespace: str, name: str, as_json: bool) -> None:
    """Say all about a Pod in the mesh: identity, certificate, what it answers, whether it is up to date."""
    from labsupport.cli.mesh import connect
    from labsupport.mesh.admin import look, running

    api = connect(name)
    found = running.read(look.dump(api, namespace, pod))
    uri, ends = look.certificate(api, namespace, pod)
    mine = [each for each in look.proxies(api) if (each.namespace, each.pod) == (namespace, pod)]
    data: dict[str, Any] = {
        "namespace": namespace,
        "pod": pod,
        "identity": uri,
        "certificate_ends": ends,
        "connected": [each.as_dict() for each in mine],
        "inbound": [asdict(each) for each in found.inbound],
        "services": len({each.service for each in found.outbound}),
        "traffic_policies": {
            f"{each.service}:{each.port}": each.policy for each in found.outbound if each.policy
        },
    }
    lines = [
        f"Pod {namespace}/{pod}",
        f"identity     {uri or 'none'}",
        f"certificate  until {ends or 'none'}",
    ]
    lines.append(
        "control      " + (_control(mine) if mine else "not connected: it works on as it was last told")
    )
    lines += ["", *table(("PORT", "ANSWERS", "SPEAKS"), [_inbound(each) for each in found.inbound])]
    held = [
        (f"{each.service}:{each.port}", each.policy, ", ".join(each.traffic))
        for each in found.outbound
        if each.policy
    ]
    lines += ["", *table(("SERVICE", "TRAFFIC POLICY", "SAYS"), held)] if held else []
    lines += ["", f"It knows {data['services']} Services: labs mesh config -n {namespace} {pod}"]
    emit(data, as_json=as_json, human="\n".join(lines))


COMMANDS = (proxies_command, config_command, routes_command, describe_command)


def describe_proxies(found: Sequence[ProxyState], now: float) -> str:
    """The proxies as a person reads them."""
    if not found:
        return "No proxy is connected.\nNext: labs mesh status"
    rows = [
        (
            f"{each.namespace}/{each.pod}",
            each.envoy,
            ago(now - each.since),
            "yes" if each.synced else "no",
            ago(now - each.acknowledged),
        )
        for each in found
    ]
    lines = table(("POD", "ENVOY", "SINCE", "SYNCED", "LAST ACK"), rows)
    for each in found:
        if each.refused:
            lines += [
                "",
                f"{each.namespace}/{each.pod} refuses {', '.join(each.refused)}:",
                f"  {each.refusal}",
            ]
    return "\n".join(lines)


def describe_config(found: Running) -> str:
    """A proxy's configuration as a person reads it."""
    lines = ["Out, to Services:"]
    for each in found.outbound:
        lines += ["", *_outbound(each)]
    lines += [
        "",
        "In:",
        "",
        *table(("PORT", "ANSWERS", "SPEAKS"), [_inbound(each) for each in found.inbound]),
    ]
    return "\n".join(lines)


def _outbound(found: Outbound) -> list[str]:
    from labsupport.mesh.admin.running import identity

    tls = {"mesh": "mutual TLS", "mixed": "mutual TLS where there is a proxy", "none": "plaintext"}[found.tls]
    who = f" with {', '.join(map(identity, found.identities))}" if found.identities else ""
    lines = [f"{found.service}:{found.port}  at {found.address}, {found.speaks}, {tls}{who}"]
    lines.append(f"  endpoints  {', '.join(found.endpoints) or 'none'}")
    if found.policy:
        lines.append(f"  TrafficPolicy {found.policy}  {', '.join(found.traffic)}".rstrip())
    lines += [f"  {each.match}: {each.action}" for each in found.routes]
    return lines


def _inbound(found: Any) -> tuple[str, str, str]:
    answers = "the mesh alone" if found.mode == "STRICT" else "anyone"
    return found.port, f"{answers} ({found.mode})", found.speaks


def _control(found: Sequence[ProxyState]) -> str:
    return ", ".join(
        f"{each.control}, "
        + ("up to date" if each.synced else f"not up to date: {each.refusal or 'on its way'}")
        for each in found
    )


def describe_routes(found: Sequence[RouteState]) -> str:
    """The routes as a person reads them."""
    if not found:
        return "There is no route whose parent is a Service."
    rows = [
        (f"{each.kind} {each.namespace}/{each.name}", each.parent, each.clients, "yes" if each.ok else "no")
        for each in found
    ]
    lines = table(("ROUTE", "PARENT", "FOR", "OK"), rows)
    for each in found:
        if not each.conditions:
            lines += ["", f"{each.kind} {each.namespace}/{each.name}: nothing is said of it yet"]
        for kind, ok, reason, message in each.conditions:
            if not ok:
                lines += [
                    "",
                    f"{each.kind} {each.namespace}/{each.name}: not {kind} ({reason})",
                    f"  {message}",
                ]
    return "\n".join(lines)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table whose columns are as wide as they must be."""
    every = [heads, *rows]
    widths = [max(len(row[column]) for row in every) for column in range(len(heads))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in every
    ]


def ago(seconds: float) -> str:
    """A duration as kubectl prints ages."""
    if seconds < 120:
        return f"{max(0, seconds):.0f}s"
    return f"{seconds / 60:.0f}m" if seconds < 7200 else f"{seconds / 3600:.0f}h"
