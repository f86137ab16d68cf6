"""`labs mesh topology`, `top`, `tap`: what goes through the mesh. Added to `labs mesh` by mesh.py."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from labsupport.cli.options import emit, json_option, name_option

if TYPE_CHECKING:
    from rich.table import Table

    from labsupport.draw.topology.data import Topology

seconds_option = click.option(
    "--seconds", type=click.IntRange(5, 300), default=60, show_default=True, help="Over the last so many."
)


@click.command("topology")
@seconds_option
@click.option("--page", is_flag=True, help="Serve the live page on loopback, and print its address.")
@click.option("--open", "open_", is_flag=True, help="As --page, and open it in the browser.")
@name_option
@json_option
def topology_command(seconds: int, page: bool, open_: bool, name: str, as_json: bool) -> None:
    """Say who calls whom: rates, errors, times, mutual TLS or not. Or show it as a live page."""
    from labsupport.cli.mesh import connect
    from labsupport.draw.topology import data, words
    from labsupport.mesh.admin import see

    api = connect(name)
    if page or open_:
        _serve(see.pages(api), as_json=as_json, open_=open_)
        return
    found = data.gathered(see.topology(api, seconds))
    emit(data.as_dict(found), as_json=as_json, human=words.text(found))


def _serve(fetch: Any, *, as_json: bool, open_: bool) -> None:
    import webbrowser

    from labsupport.mesh.admin.forward import Forward

    with Forward(fetch) as forward:
        emit({"url": forward.url}, as_json=as_json, human=forward.url)
        click.echo("The address has a token in it: it is for you alone. Ctrl-C ends this.", err=True)
        sys.stdout.flush()
        if open_ and not webbrowser.open(forward.url):
            click.echo("No browser could be opened: open the address yourself.", err=True)
        with contextlib.suppress(KeyboardInterrupt):
            forward.serve_forever()


@click.command("top")
@seconds_option
@click.option("--sort", type=click.Choice(["rate", "errors", "p99", "refused", "from", "to"]), default="rate")
@click.option("--every", type=click.FloatRange(0.5, 60), default=2.0, show_default=True, help="Seconds.")
@click.option("--once", is_flag=True, help="Print it once; so does output that is no terminal.")
@name_option
@json_option
def top_command(seconds: int, sort: str, every: float, once: bool, name: str, as_json: bool) -> None:
    """Show the calls in the mesh as a table that follows: the busiest first, or what --sort says."""
    from rich.console import Console
    from rich.live import Live

    from labsupport.cli.mesh import connect
    from labsupport.cli.meshlook import table
    from labsupport.draw.topology import data, words
    from labsupport.draw.topology.page import ORDERS
    from labsupport.mesh.admin import see

    api = connect(name)
    console = Console()
    if once or as_json or not console.is_terminal:
        found = data.gathered(see.topology(api, seconds))
        rows = [words.cells(each) for each in sorted(found.edges, key=ORDERS[sort])]
        heads = [each.upper() for each in words.HEADS]
        human = "\n".join([words.title(found), "", *table(heads, rows)]) if rows else words.title(found)
        emit(data.as_dict(found), as_json=as_json, human=human)
        return
    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            live.update(
                live_table(data.gathered(see.topology(api, seconds)), sort, console.height), refresh=True
            )
            time.sleep(every)


def live_table(found: Topology, sort: str, height: int) -> Table:
    """The calls as a table of at most `height` lines; trouble is red, and has a "!" where there is no colour."""
    from rich.table import Table

    from labsupport.draw.topology import words
    from labsupport.draw.topology.page import ORDERS

    made = Table(title=words.title(found), title_justify="left", expand=False, caption_justify="left")
    for number, head in enumerate(words.HEADS):
        made.add_column(head, no_wrap=True, justify="left" if number < 2 or number > 7 else "right")
    edges = sorted(found.edges, key=ORDERS[sort])
    room = max(1, height - 7)
    for edge in edges[:room]:
        cells = words.cells(edge)
        marked = (f"! {cells[0]}", *cells[1:]) if edge.trouble else cells
        made.add_row(*marked, style="bold red" if edge.trouble else "")
    made.caption = f"and {len(edges) - room} more" if len(edges) > room else "Ctrl-C ends this."
    return made


@click.command("tap")
@click.option(
    "--from", "source", default="", help="NAMESPACE/SERVICEACCOUNT, SERVICEACCOUNT, or NAMESPACE/ for all."
)
@click.option("--to", "target", default="", help="Likewise.")
@click.option("--path", default="", help="What paths begin with.")
@click.option("--status", default="", help="A status as 503, or a class as 5xx.")
@click.option("--limit", type=click.IntRange(1), help="End after so many.")
@name_option
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line.")
def tap_command(
    source: str, target: str, path: str, status: str, limit: int | None, name: str, as_json: bool
) -> None:
    """Show requests as they end, as the proxies report them, until Ctrl-C."""
    from labsupport.cli.mesh import connect
    from labsupport.mesh.admin import see

    api = connect(name)
    wanted = {"from": source, "to": target, "path": path, "status": status, "limit": str(limit or "")}
    shown = 0
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        for line in see.tap(api, wanted):
            click.echo(json.dumps(line, ensure_ascii=False) if as_json else tapped(line))
            sys.stdout.flush()
            shown += 1
            if shown == limit:
                break


def tapped(line: Mapping[str, Any]) -> str:
    """A request or a connection as a person reads it; what went wrong is told at the end."""
    from labsupport.draw.topology.words import milliseconds

    if "left_out" in line:
        return f"({line['left_out']} more came faster than they could be shown)"
    clock = time.strftime("%H:%M:%S", time.localtime(line.get("at") or 0))
    what = " ".join(printable(line.get(each)) for each in ("method", "path") if line.get(each)) or "tcp"
    parts = [clock, f"{line.get('from')} -> {line.get('to')}", what]
    parts += [str(line["status"])] if line.get("status") else []
    parts += [milliseconds(line.get("ms"))]
    parts += ["plaintext"] if line.get("mtls") is False else []
    details = str(line.get("details") or "")
    policy = str(line.get("policy") or "")
    parts += ["would be refused"] if line.get("would_deny") else []
    # Of policies that allow, no rule decides: that none matches does.
    parts += [f"by {policy}"] if policy not in ("", "none") else []
    parts += ["no policy allows it"] if policy == "none" and line.get("denied") else []
    parts += [str(line["flags"])] if line.get("flags") else []
    parts += [printable(details)] if details not in ("", "via_upstream") and not policy else []
    return "  ".join(parts)


def printable(said: Any) -> str:
    """What strangers said, without what would steer the terminal."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(said))


COMMANDS = (topology_command, top_command, tap_command)
