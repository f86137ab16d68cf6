"""The topology as SVG: boxes for who, lines for what they ask of each other.

A line's width tells its rate, dashes that it is plaintext; trouble is written beside it, marked "!", and red. On the
page, boxes and lines can be focused and are read out one by one; elsewhere the picture is one image with a text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from labsupport.draw.theme import (
    ACCENT,
    BAD,
    FONT,
    MUTED,
    PANEL,
    RULE,
    TEXT,
    WAIT,
    Picture,
    escape,
    svg,
)
from labsupport.draw.topology import words
from labsupport.draw.topology.data import LIMIT, Edge, Node, Topology, by_namespace, lines
from labsupport.draw.topology.layers import Line, Point, Size, layout

BOX = (150.0, 44.0)  # width and height
FEW = 14  # lines that can all carry their numbers without covering each other
EDGE = 4.0  # free all around
DOWN_BELOW, DOWN_MOST = (
    520,
    12,
)  # layers stand below each other under this width, and with so many boxes at most
BACK = "var(--jp-layout-color0, var(--jp-layout-color1, #fff))"  # under what is written over lines


@dataclass(frozen=True)
class Drawn:
    """An SVG element, and its size in pixels."""

    svg: str
    width: int
    height: int


@dataclass(frozen=True)
class _Way:
    """How abstract places become places on the picture."""

    down: bool

    def xy(self, point: Point) -> tuple[float, float]:
        along, across = point
        return (across + EDGE, along + EDGE) if self.down else (along + EDGE, across + EDGE)


def drawn(topology: Topology, *, width: int = 860, live: bool = False, label: str = "") -> Drawn:
    """The picture in about `width` pixels where that can be; `live`: with what a page needs to work with it."""
    edges = lines(topology)
    names = [node.id for node in topology.nodes]
    down = width < DOWN_BELOW and len(names) <= DOWN_MOST
    if down:
        box = (max(100.0, min(BOX[0], (width - 2 * EDGE) / 2 - 22)), BOX[1])
        size = Size(box[1], box[0], 58.0, 58.0, 10.0, len(names) * (box[1] + 58.0) / 2, 2)
    else:
        box = BOX if width >= 700 else (126.0, BOX[1])
        size = Size(box[0], box[1], 64.0, 130.0, 12.0, width - 2 * EDGE, 6)
    found = layout(names, list(edges), size)
    way = _Way(down)
    whole = (found.across, found.along) if down else (found.along, found.across)
    body = []
    for line, edge in edges.items():
        body.append(_edge(edge, found.ways.get(line, ()), found.boxes[line[0]], box, way, live))
    body += [
        _label(x, y, edges[line], live, room if len(edges) <= FEW else 0.0)
        for x, y, room, line in _labels(edges, found.ways, way)
    ]
    if found.quiet is not None and edges:
        x, y = way.xy(Point(0.0, found.quiet - 6.0))
        body.append(_small(x, y, "no requests in this time", MUTED, anchor="start"))
    asked: dict[str, list[Edge]] = {}
    for (_, target), edge in edges.items():
        asked.setdefault(target, []).append(edge)
    body += [
        _box(node, found.boxes[node.id], box, way, asked.get(node.id, []), edges, live)
        for node in topology.nodes
    ]
    width_, height = round(whole[0] + 2 * EDGE), round(whole[1] + 2 * EDGE + 2)
    if not topology.nodes:
        width_, height = min(width, 860), 40
        body = [
            _small(
                EDGE,
                24,
                "Nobody is in the mesh, and nobody was called in this time.",
                MUTED,
                anchor="start",
                size=13,
            )
        ]
    if not live:
        title = words.title(topology)
        return Drawn(svg(width_, height, label or "Topology of the mesh", title, body), width_, height)
    name = escape(label or "Topology of the mesh")
    return Drawn(
        f'<svg xmlns="http://www.w3.org/2000/svg" role="group" aria-label="{name}" viewBox="0 0 {width_} {height}" '
        f'width="{width_}" height="{height}" style="color:{TEXT};font-family:{FONT}">{"".join(body)}</svg>',
        width_,
        height,
    )


def picture(topology: Topology, *, width: int = 860) -> Picture:
    """The picture and the same in words. Where there are too many nodes to be seen, one stands for each namespace."""
    shown = by_namespace(topology) if len(topology.nodes) > LIMIT else topology
    return Picture(drawn(shown, width=width).svg, words.text(topology))


# --- lines


def _edge(
    edge: Edge, points: Sequence[Point], own: Point, box: tuple[float, float], way: _Way, live: bool
) -> str:
    colour = BAD if edge.trouble else ACCENT
    wide = 1.2 + min(3.3, 1.1 * math.log10(1 + max(edge.rate, edge.connections / 10)))
    dash = "" if edge.mtls else ";stroke-dasharray:5 4"
    path, head = _path(points, way) if points else _loop(own, box, way)
    shapes = (
        f'<path class="line" d="{path}" style="fill:none;stroke:{colour};stroke-width:{wide:.1f}{dash}"/>'
        f'<path d="{head}" style="fill:{colour}"/>'
    )
    if not live:
        return f"<g>{shapes}</g>"
    key = f"{edge.source}>{edge.target}"
    return (
        f'<g class="edge" data-k="{escape(key)}" data-from="{escape(edge.source)}" '
        f'data-to="{escape(edge.target)}" role="button" tabindex="-1" aria-label="{escape(words.sentence(edge))}">'
        f'<path class="hit" d="{path}" style="fill:none;stroke:transparent;stroke-width:14"/>{shapes}</g>'
    )


def _path(points: Sequence[Point], way: _Way) -> tuple[str, str]:
    """A line through its points, and the head at its end."""
    forth = 1.0 if points[-1].along >= points[0].along else -1.0
    end = Point(points[-1].along - 7 * forth, points[-1].across)
    through = [*points[:-1], end]
    parts = ["M{:.1f} {:.1f}".format(*way.xy(through[0]))]
    for number, (one, other) in enumerate(pairwise(through)):
        if number % 2:
            parts.append("L{:.1f} {:.1f}".format(*way.xy(other)))
            continue
        bend = (other.along - one.along) / 2
        near = (Point(one.along + bend, one.across), Point(other.along - bend, other.across), other)
        parts.append("C" + " ".join("{:.1f} {:.1f}".format(*way.xy(each)) for each in near))
    tip, back = points[-1], points[-1].along - 9 * forth
    corners = (tip, Point(back, tip.across - 4.5), Point(back, tip.across + 4.5))
    return " ".join(parts), "M" + "L".join("{:.1f} {:.1f}".format(*way.xy(each)) for each in corners) + "Z"


def _loop(own: Point, box: tuple[float, float], way: _Way) -> tuple[str, str]:
    """A small bow at a box that calls itself: out of its top, and back into it."""
    x, y = way.xy(own)
    right, top = x + box[0] / 2 - 14, y - box[1] / 2
    path = f"M{right - 26:.1f} {top:.1f} c0 -13 26 -13 26 -3"
    return path, f"M{right:.1f} {top:.1f}L{right - 4:.1f} {top - 7:.1f}L{right + 4:.1f} {top - 7:.1f}Z"


def _labels(
    edges: Mapping[Line, Edge], ways: Mapping[Line, Sequence[Point]], way: _Way
) -> list[tuple[float, float, float, Line]]:
    """Where the numbers of lines stand (in the gap before the called box, none over another), and how wide it is."""
    wanted: list[tuple[float, float, float, Line]] = []
    for line, edge in edges.items():
        points = ways.get(line, ())
        if not points or not (edge.trouble or len(edges) <= FEW):
            continue
        one, other = points[-2], points[-1]
        x, y = way.xy(Point((one.along + other.along) / 2, (one.across + other.across) / 2))
        if not way.down and abs(one.across - other.across) < 24:
            y -= 9 + abs(one.across - other.across) / 4  # a line that is nearly level would be hidden
        wanted.append((x, y, BOX[0] if way.down else abs(other.along - one.along) - 8, line))
    placed: list[tuple[float, float, float, Line]] = []
    for x, y, room, line in sorted(wanted, key=lambda each: (each[1], each[0])):
        while any(abs(x - other_x) < 70 and abs(y - other_y) < 14 for other_x, other_y, _, _ in placed):
            y += 3
        placed.append((x, y, room, line))
    return placed


def _label(x: float, y: float, edge: Edge, live: bool, room: float) -> str:
    wrong = [each.removesuffix(" errors") for each in words.troubles(edge)[:1]]
    said = " · ".join([words.rate(edge), *wrong])
    if wrong and _wide(f"! {said}") > room:
        said = wrong[0]
    said = f"! {said}" if edge.trouble else said
    width = _wide(said)
    mark = (
        f' class="label" data-k="l {escape(edge.source)}>{escape(edge.target)}" data-from="{escape(edge.source)}"'
        f' data-to="{escape(edge.target)}" aria-hidden="true"'
        if live
        else ""
    )
    colour = BAD if edge.trouble else TEXT
    return (
        f'<g{mark}><rect x="{x - width / 2:.1f}" y="{y - 7.5:.1f}" width="{width:.1f}" height="15" rx="3" '
        f'style="fill:{BACK};opacity:.7"/>{_small(x, y + 4, said, colour)}</g>'
    )


def _wide(said: str) -> float:
    return 6.0 * len(said) + 6


# --- boxes


def _box(
    node: Node,
    at: Point,
    box: tuple[float, float],
    way: _Way,
    asked: Sequence[Edge],
    edges: Mapping[Line, Edge],
    live: bool,
) -> str:
    x, y = way.xy(at)
    left, top = x - box[0] / 2, y - box[1] / 2
    soft = node.kind in ("outside", "unknown")
    ill = node.ready < node.proxies
    outline = f"stroke:{WAIT};stroke-width:2" if ill else f"stroke:{RULE};stroke-width:1"
    dash = ";stroke-dasharray:4 3" if soft else ""
    name = node.account or node.id
    first = {"outside": "outside", "unknown": "unknown"}.get(node.kind, name)
    limit = int((box[0] - 18) / 7.2)
    shape = (
        f'<rect class="box" x="{left:.1f}" y="{top:.1f}" width="{box[0]:.1f}" height="{box[1]:.1f}" '
        f'rx="{22 if soft else 5}" style="fill:{BACK}"/>'
        f'<rect class="box" x="{left:.1f}" y="{top:.1f}" width="{box[0]:.1f}" height="{box[1]:.1f}" '
        f'rx="{22 if soft else 5}" style="fill:{PANEL};{outline}{dash}"/>'
    )
    if node.kind == "gateway":  # a second edge where traffic comes in
        shape += f'<path d="M{left + 4:.1f} {top + 4:.1f}v{box[1] - 8:.1f}" style="stroke:{ACCENT};stroke-width:3"/>'
    inset = 16 if soft else 10
    second = _second(node, asked)
    # Text is in the text's own colour: on a box, JupyterLab's others are too faint to be read.
    said = _line_of(left + inset, top + 18, _short(first, limit), bold=True)
    said += _line_of(left + inset, top + 34, _short(second, int((box[0] - 2 * inset + 6) / 5.6)), size=11)
    if not live:
        return f"<g>{shape}{said}</g>"
    calls = [target for source, target in edges if source == node.id]
    tells = f"{node.id}, {words.about(node)}"
    total = sum(edge.asks for edge in asked)
    tells += f"; asked {words.number(total)} times a second" if total else ""
    tells += f"; calls {', '.join(calls[:8])}{' and more' if len(calls) > 8 else ''}" if calls else ""
    return (
        f'<g class="node" data-k="{escape(node.id)}" data-id="{escape(node.id)}" data-x="{x:.0f}" data-y="{y:.0f}" '
        f'role="button" tabindex="-1" aria-label="{escape(tells)}">{shape}{said}</g>'
    )


def _second(node: Node, asked: Sequence[Edge]) -> str:
    """A box's second line: where it belongs, what is not ready, how much it is asked."""
    parts = [node.namespace] if node.namespace and node.account else []
    if node.kind in ("outside", "unknown", "gateway", "namespace"):
        parts.append(words.KINDS[node.kind] if node.kind != "outside" else "of the mesh")
    if node.proxies and node.ready < node.proxies:
        parts.append(f"{node.ready}/{node.proxies} ready")
    total = sum(edge.asks for edge in asked)
    if total and len(parts) < 2:
        parts.append(f"{words.number(total)}/s")
    return " · ".join(parts)


def _short(content: str, limit: int) -> str:
    return content if len(content) <= limit else content[: max(1, limit - 1)] + "\u2026"


def _line_of(
    x: float, y: float, content: str, *, size: int = 12, fill: str = "currentColor", bold: bool = False
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}"{weight} style="fill:{fill}">{escape(content)}</text>'


def _small(x: float, y: float, content: str, fill: str, *, anchor: str = "middle", size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" style="fill:{fill}">'
        f"{escape(content)}</text>"
    )
