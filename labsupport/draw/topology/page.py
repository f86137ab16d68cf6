"""What of the topology's page changes: a summary, the picture, the details of what is chosen, the table. As HTML.

The page itself (page.html) asks for it again and again, with what its controls say, and changes only what is different.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from labsupport.draw.theme import escape
from labsupport.draw.topology import words
from labsupport.draw.topology.data import BAD_SHARE, LIMIT, WINDOWS, Edge, Topology, by_namespace, chosen
from labsupport.draw.topology.picture import drawn

ORDERS: Mapping[str, Callable[[Edge], tuple[object, ...]]] = {
    "from": lambda edge: (edge.source, edge.target),
    "to": lambda edge: (edge.target, edge.source),
    "rate": lambda edge: (-edge.rate, -edge.connections),
    "errors": lambda edge: (-edge.error_share, -edge.errors),
    "p99": lambda edge: (-(edge.p99_ms or 0.0),),
    "refused": lambda edge: (-edge.denied - edge.limited, -edge.would_deny),
}
WIDEST = 4000  # pixels


@dataclass(frozen=True)
class Asked:
    """What the page's controls say."""

    seconds: int = WINDOWS[1]
    find: str = ""
    trouble: bool = False
    group: bool = False
    sort: str = "from"
    width: int = 860
    chosen: str = ""  # a node's id, or an edge as "FROM>TO"


def asked(query: str) -> Asked:
    """The controls of a query string. What makes no sense is as if it was not said."""
    said = {name: values[-1] for name, values in parse_qs(query).items()}

    def whole(name: str, default: int, most: int) -> int:
        value = said.get(name, "")
        return (
            min(most, max(1, int(value)))
            if value.isascii() and value.isdigit() and len(value) < 7
            else default
        )

    return Asked(
        whole("seconds", WINDOWS[1], WINDOWS[-1]),
        said.get("find", "")[:200],
        said.get("trouble") == "1",
        said.get("group") == "1",
        said.get("sort", "from") if said.get("sort") in ORDERS else "from",
        max(240, whole("width", 860, WIDEST)),
        said.get("chosen", "")[:400],
    )


def view(topology: Topology, ask: Asked) -> str:
    """The changing part of the page."""
    found = chosen(topology, find=ask.find, trouble=ask.trouble)
    grouped = ask.group or len(found.nodes) > LIMIT
    if grouped:
        found = by_namespace(found)
    picture = drawn(found, width=ask.width, live=True)
    note = ""
    if grouped and not ask.group:
        note = f" There are more than {LIMIT} nodes: each namespace is one here. A word in Find shows less."
    fit = "fit" if picture.width <= ask.width * 1.12 else "scroll"
    return (
        f'<p id="summary" data-k="summary">{escape(words.title(found))}.{escape(note)}</p>'
        f'<div id="picture" data-k="picture" class="{fit}">{picture.svg}</div>'
        f'<div id="details" data-k="details">{_details(found, ask.chosen)}</div>'
        f'<div id="edges" data-k="edges" class="scroll" tabindex="0" role="region" aria-label="Table of calls">'
        f"{_table(found, ask.sort)}</div>"
    )


def _details(topology: Topology, key: str) -> str:
    """Of the chosen node or edge."""
    source, between, target = key.partition(">")
    if between:
        edges = [edge for edge in topology.edges if (edge.source, edge.target) == (source, target)]
        heading, told = f"{source} calls {target}", ""
    else:
        node = next((node for node in topology.nodes if node.id == key), None)
        edges = [edge for edge in topology.edges if node and node.id in (edge.source, edge.target)]
        heading, told = key, words.about(node) if node else ""
    if not edges and not told:
        return ""
    lines = "".join(f"<li>{escape(_service(edge))}</li>" for edge in edges)
    return (
        f"<h2>{escape(heading)}</h2>"
        + (f"<p>{escape(told)}</p>" if told else "")
        + (f"<ul>{lines}</ul>" if lines else "")
    )


def _service(edge: Edge) -> str:
    return words.sentence(edge) + (f" (Service {edge.service})" if edge.service else "")


def _table(topology: Topology, sort: str) -> str:
    orders: Sequence[str] = ("from", "to", "rate", "errors", "", "", "p99", "", "refused", "", "")
    heads = ""
    for head, order in zip(words.HEADS, orders, strict=True):
        if not order:
            heads += f'<th scope="col">{head}</th>'
            continue
        now = (
            f' aria-sort="{"ascending" if order in ("from", "to") else "descending"}"'
            if order == sort
            else ""
        )
        heads += f'<th scope="col"{now}><button type="button" data-sort="{order}">{head}</button></th>'
    rows = "".join(_row(edge) for edge in sorted(topology.edges, key=ORDERS[sort]))
    empty = f'<tr><td colspan="{len(words.HEADS)}">No calls in this time.</td></tr>'
    return f"<table><caption>Calls</caption><thead><tr>{heads}</tr></thead><tbody>{rows or empty}</tbody></table>"


def _row(edge: Edge) -> str:
    key = f"{edge.source}>{edge.target} {edge.service} {edge.protocol}"
    first, *rest = words.cells(edge)
    marks = {3: edge.error_share >= BAD_SHARE, 8: bool(edge.denied or edge.limited)}
    cells = "".join(
        f'<td class="bad">! {escape(cell)}</td>' if marks.get(place) else f"<td>{escape(cell)}</td>"
        for place, cell in enumerate(rest, 1)
    )
    return (
        f'<tr data-k="{escape(key)}" data-from="{escape(edge.source)}" data-to="{escape(edge.target)}">'
        f'<th scope="row">{escape(first)}</th>{cells}</tr>'
    )
