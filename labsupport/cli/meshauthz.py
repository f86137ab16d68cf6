"""`labs mesh authz`: which policy decides a call, and why. Added to `labs mesh` by mesh.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from labsupport.cli.options import emit, json_option, name_option

if TYPE_CHECKING:
    from labsupport.mesh.admin.authz import Call, Explained


@click.command("authz")
@click.option(
    "--from", "caller", required=True, help="NAMESPACE/SERVICEACCOUNT, or - for a caller without identity."
)
@click.option("--to", "target", required=True, help="NAMESPACE/NAME of a Service, or else of a Pod.")
@click.option("--method", default="GET", show_default=True)
@click.option("--path", default="/", show_default=True, help="As the caller writes it.")
@click.option("--port", type=int, help="Of the Service (by default its first one), or of the Pod.")
@click.option("--header", "headers", multiple=True, help="NAME:VALUE; may be given several times.")
@click.option("--bytes", "as_bytes", is_flag=True, help="A connection of bytes, on a port that says nothing.")
@name_option
@json_option
@click.pass_context
def authz_command(
    ctx: click.Context,
    caller: str,
    target: str,
    method: str,
    path: str,
    port: int | None,
    headers: tuple[str, ...],
    as_bytes: bool,
    name: str,
    as_json: bool,
) -> None:
    """Say whether a call would be answered, and which AuthorizationPolicy decides that.

    Judged from the policies that are in the cluster, by the rules that proxies go by. Exit status 0 only if all Pods
    that it may come to answer it.
    """
    from labsupport.cli.mesh import connect
    from labsupport.mesh.admin import authz

    sent: dict[str, str] = {}
    for each in headers:
        key, colon, value = each.partition(":")
        if not colon:
            raise click.BadParameter(f"{each!r} is not of the form NAME:VALUE", param_hint="--header")
        key = key.strip().lower()
        sent[key] = f"{sent[key]},{value.strip()}" if key in sent else value.strip()
    call = authz.Call(caller, target, "" if as_bytes else method, path, port, sent)
    found = authz.explain(connect(name), call)
    emit([each.as_dict() for each in found], as_json=as_json, human=describe(call, found))
    ctx.exit(0 if all(each.decision.allowed for each in found) else 1)


COMMANDS = (authz_command,)


def describe(call: Call, found: Sequence[Explained]) -> str:
    """An explanation as a person reads it."""
    from labsupport.cli.meshlook import table

    lines: list[str] = []
    for each in found:
        what = f"{call.method} {each.path}" if each.http else "bytes"
        if lines:
            lines.append("")
        lines.append(f"{call.caller} to {call.target}, port {each.port} of {', '.join(each.pods)}: {what}")
        lines.append(f"{_verdict(each.decision.allowed)}: {each.decision.reason}.")
        if each.audit != each.decision and each.audit.allowed != each.decision.allowed:
            lines.append(
                f"If audited policies were enforced, {_verdict(each.audit.allowed)}: {each.audit.reason}."
            )
        rows = [
            (
                one.policy,
                one.rule or "none",
                one.action,
                one.mode,
                f"no: {', '.join(one.misses)}" if one.misses else "yes",
            )
            for one in each.tried
        ]
        if rows:
            lines += ["", *table(("POLICY", "RULE", "ACTION", "MODE", "MATCHES"), rows)]
    return "\n".join(lines)


def _verdict(allowed: bool) -> str:
    return "allowed" if allowed else "refused"
