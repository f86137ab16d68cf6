"""The way of a request through a proxy: listener, routes in their order, clusters, endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from labsupport.draw.theme import ACCENT, BAD, MUTED, PANEL, RULE, Picture, svg, text

WIDTH = 900
COLUMNS = (0, 178, 470, 690)  # left edges: listener, route, cluster, endpoint
WIDTHS = (146, 260, 188, 210)
HEADS = ("listener", "routes, the first that matches", "cluster", "endpoints")
TOP = 62
BOX = 40
GAP = 10


@dataclass(frozen=True)
class Listener:
    """Where requests come in: its name, its address, and the name of the route configuration that it asks."""

    name: str
    address: str
    routes: str = ""


@dataclass(frozen=True)
class Route:
    """One route: which requests it matches and what becomes of them, in words; the clusters that it leads to."""

    match: str
    target: str
    clusters: tuple[str, ...] = ()


@dataclass(frozen=True)
class RouteList:
    """The routes of one route configuration, in order; `source` says where they come from."""

    name: str
    source: str
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True)
class Endpoint:
    """One address that requests are sent to, what is known of its health, and how many it got."""

    address: str
    health: str = ""
    requests: int = 0
    failures: int = 0


@dataclass(frozen=True)
class Cluster:
    """A named set of endpoints; `source` says where the endpoints come from."""

    name: str
    source: str
    endpoints: tuple[Endpoint, ...] = ()


@dataclass(frozen=True)
class Way:
    """Everything that the picture shows."""

    listeners: tuple[Listener, ...] = ()
    route_lists: tuple[RouteList, ...] = ()
    clusters: tuple[Cluster, ...] = ()


@dataclass
class _Place:
    """Where a box stands: its left edge, width, and middle."""

    x: float
    width: float
    y: float


@dataclass
class _Drawing:
    boxes: list[str] = field(default_factory=list)
    edges: list[str] = field(default_factory=list)
    bottom: float = TOP

    def box(self, column: int, y: float, first: str, second: str, *, bad: bool = False) -> _Place:
        """A box with two lines of text."""
        x, width = COLUMNS[column], WIDTHS[column]
        stroke = f"stroke:{BAD};stroke-width:1.5;stroke-dasharray:4 3" if bad else f"stroke:{RULE}"
        self.boxes.append(
            f'<rect x="{x + 1}" y="{y}" width="{width - 2}" height="{BOX}" rx="5" style="fill:{PANEL};{stroke}"/>'
        )
        limit = width // 7
        self.boxes.append(text(x + 10, y + 17, _short(first, limit), bold=True))
        self.boxes.append(text(x + 10, y + 32, _short(second, limit + 3), size=11, fill=MUTED))
        self.bottom = max(self.bottom, y + BOX + GAP)
        return _Place(x, width, y + BOX / 2)

    def edge(self, start: _Place, end: _Place) -> None:
        """A line from the right of one box to the left of another."""
        x1, x2 = start.x + start.width - 1, end.x + 1
        bend = (x2 - x1) / 2
        self.edges.append(
            f'<path d="M{x1:.1f} {start.y:.1f} C{x1 + bend:.1f} {start.y:.1f} {x2 - bend:.1f} {end.y:.1f} '
            f'{x2:.1f} {end.y:.1f}" style="fill:none;stroke:{ACCENT};stroke-width:1.5"/>'
        )


def proxymap(way: Way, *, title: str) -> Picture:
    """Draw the way of requests; what is missing (a cluster that no configuration knows) is drawn dashed."""
    drawing = _Drawing()
    clusters = _clusters(way, drawing)
    y: float = TOP
    drawn: dict[str, list[_Place]] = {}
    for route_list in way.route_lists:
        for number, route in enumerate(route_list.routes, 1):
            place = drawing.box(1, y, f"{number}. {route.match}", route.target)
            y += BOX + GAP
            drawn.setdefault(route_list.name, []).append(place)
            for name in route.clusters:
                drawing.edge(place, clusters[name])
    y = TOP
    for listener in way.listeners:
        place = drawing.box(0, y, listener.name, listener.address)
        y += BOX + GAP
        for route_place in drawn.get(listener.routes, []):
            drawing.edge(place, route_place)
    heads = [text(0, 16, title, size=15, bold=True)]
    heads += [text(x, TOP - 14, head, fill=MUTED) for x, head in zip(COLUMNS, HEADS, strict=True)]
    lines = words(way)
    return Picture(
        svg(WIDTH, round(drawing.bottom), title, "; ".join(lines), heads + drawing.edges + drawing.boxes),
        "\n".join([title, *lines]),
    )


def _clusters(way: Way, drawing: _Drawing) -> dict[str, _Place]:
    """Boxes of clusters and their endpoints; also of clusters that routes name and nobody has."""
    places: dict[str, _Place] = {}
    known = {cluster.name for cluster in way.clusters}
    named = [name for each in way.route_lists for route in each.routes for name in route.clusters]
    missing = [Cluster(name, "no such cluster") for name in dict.fromkeys(named) if name not in known]
    y: float = TOP
    for cluster in (*way.clusters, *missing):
        bad = cluster in missing
        place = drawing.box(2, y, cluster.name, cluster.source, bad=bad)
        places[cluster.name] = place
        for endpoint in cluster.endpoints:
            drawing.edge(
                place, drawing.box(3, y, endpoint.address, _fate(endpoint), bad=bool(endpoint.failures))
            )
            y += BOX + GAP
        y += 0 if cluster.endpoints else BOX + GAP
    return places


def words(way: Way) -> list[str]:
    """The same in words, a line for each thing."""
    lines = []
    clusters = {cluster.name: cluster for cluster in way.clusters}
    for listener in way.listeners:
        lines.append(f"listener {listener.name} on {listener.address}, routes {listener.routes or 'none'}")
    for route_list in way.route_lists:
        lines.append(f"routes {route_list.name} ({route_list.source})")
        for number, route in enumerate(route_list.routes, 1):
            lines.append(f"  {number}. {route.match}: {route.target}")
            lines += [f"       no such cluster: {name}" for name in route.clusters if name not in clusters]
    for cluster in way.clusters:
        lines.append(f"cluster {cluster.name} ({cluster.source})")
        lines += [f"  {endpoint.address}: {_fate(endpoint)}" for endpoint in cluster.endpoints]
        if not cluster.endpoints:
            lines.append("  no endpoints")
    return lines


def _fate(endpoint: Endpoint) -> str:
    parts = [endpoint.health.lower()] if endpoint.health and endpoint.health != "HEALTHY" else []
    parts.append(f"{endpoint.requests} request{'' if endpoint.requests == 1 else 's'}")
    if endpoint.failures:
        parts.append(f"{endpoint.failures} without connection")
    return ", ".join(parts)


def _short(content: str, limit: int) -> str:
    return content if len(content) <= limit else content[: limit - 1] + "\u2026"


def routes_of(way: Way) -> Sequence[Route]:
    """All routes, in their order."""
    return [route for each in way.route_lists for route in each.routes]
