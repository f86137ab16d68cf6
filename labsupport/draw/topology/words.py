"""The topology in words: for terminals, screen readers, tables; and how its numbers are written everywhere."""

from __future__ import annotations

from labsupport.draw.topology.data import Edge, Node, Topology, lines

HEADS = ("From", "To", "Rate", "Errors", "p50", "p90", "p99", "In flight", "Refused", "TLS", "Service")
KINDS = {
    "outside": "outside the mesh",
    "unknown": "without identity",
    "gateway": "gateway",
    "namespace": "namespace",
}


def rate(edge: Edge) -> str:
    """Requests a second, or connections where there are no requests."""
    if edge.protocol == "tcp":
        return f"{number(edge.connections)} conn."
    return f"{number(edge.rate)}/s"


def number(value: float) -> str:
    """A number with two figures or three: 0.25, 3.1, 20, 1.2k, 3.4M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * limit:
            return f"{value / limit:.3g}{unit}"
    if value >= 10:
        return f"{value:.0f}"
    return f"{value:.2g}" if value >= 0.01 or not value else "<0.01"


def share(value: float) -> str:
    """A share (0 to 1) in percent, never rounded to none or to all."""
    if not value:
        return "0 %"
    if value < 0.001:
        return "<0.1 %"
    if 0.9995 <= value < 1:
        return ">99.9 %"
    return f"{value * 100:.3g} %" if value >= 0.1 else f"{value * 100:.2g} %"


def milliseconds(value: float | None) -> str:
    """A time: 2.1 ms, 1.2 s, or "-" where there is none."""
    if value is None:
        return "-"
    return (
        f"{value / 1000:.3g} s" if value >= 999.5 else f"{value:.2g} ms" if value < 10 else f"{value:.0f} ms"
    )


def tls(edge: Edge) -> str:
    """How the connection is protected."""
    return "mTLS" if edge.mtls else "plaintext"


def troubles(edge: Edge, *, all_errors: bool = True) -> list[str]:
    """What is wrong on an edge, each in a few words."""
    found = [f"{share(edge.error_share)} errors"] if edge.errors and all_errors else []
    found += [f"{number(edge.denied)} refused"] if edge.denied else []
    found += [f"{number(edge.would_deny)} would be refused"] if edge.would_deny else []
    return found + ([f"{number(edge.limited)} over limits"] if edge.limited else [])


def refused(edge: Edge) -> str:
    """The column of that name."""
    parts = [number(edge.denied)] if edge.denied else []
    parts += [f"would: {number(edge.would_deny)}"] if edge.would_deny else []
    parts += [f"limits: {number(edge.limited)}"] if edge.limited else []
    return ", ".join(parts) or "0"


def cells(edge: Edge) -> tuple[str, ...]:
    """An edge as a row under HEADS."""
    times = [milliseconds(each) for each in (edge.p50_ms, edge.p90_ms, edge.p99_ms)]
    errors = f"{share(edge.error_share)} ({number(edge.errors)})" if edge.errors else "0 %"
    return (
        edge.source,
        edge.target,
        rate(edge),
        errors,
        *times,
        number(edge.in_flight),
        refused(edge),
        tls(edge),
        edge.service or "-",
    )


def sentence(edge: Edge) -> str:
    """An edge as it is read out."""
    if edge.protocol == "tcp":
        moved = f"{number(edge.bytes_out)}B there, {number(edge.bytes_in)}B back"
        what = f"{number(edge.connections)} TCP connections, {moved}"
    else:
        what = f"{number(edge.rate)} requests a second"
    parts = [what, *(troubles(edge) or ["no errors"])]
    if edge.p99_ms is not None:
        parts.append(f"99 of 100 within {milliseconds(edge.p99_ms)}")
    return (
        f"{edge.source} calls {edge.target}: {', '.join(parts)}, {'mutual TLS' if edge.mtls else 'plaintext'}"
    )


def about(node: Node) -> str:
    """A node in a few words, without its name."""
    kind = KINDS.get(node.kind, "workload")
    if node.kind in ("outside", "unknown"):
        return kind
    if not node.proxies:
        return f"{kind}, no proxy"
    if node.ready > node.proxies:
        return f"{kind}, {node.ready} ready, {node.proxies} with a proxy"
    return f"{kind}, {node.ready} of {node.proxies} ready"


def title(topology: Topology) -> str:
    """What the whole is, in one line."""
    edges = topology.edges
    rates = sum(edge.asks for edge in edges)
    trouble = sum(edge.trouble for edge in edges)
    plain = sum(not edge.mtls for edge in edges)
    parts = [
        _count(len(topology.nodes), "node"),
        _count(len(edges), "edge"),
        f"{number(rates)} requests a second",
        f"{trouble} in trouble" if trouble else "none in trouble",
    ]
    parts += [f"{plain} in plaintext"] if plain else []
    parts += [f"{topology.lost} reports lost: counts are too low"] if topology.lost else []
    return f"Over the last {span(topology.seconds)}: {', '.join(parts)}"


def span(seconds: float) -> str:
    """A time span as it is said."""
    return f"{seconds / 60:.2g} minutes" if seconds >= 120 else f"{seconds:.0f} s"


def _count(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def text(topology: Topology) -> str:
    """The topology for a terminal: each caller, and under it what it calls. "!" marks what is in trouble."""
    found = lines(topology)
    names = [node.id for node in topology.nodes]
    said = [title(topology)]
    callers = {source for source, _ in found}
    called = {target for _, target in found}
    first = sorted(names, key=lambda name: (name in called, name))
    about_ = {node.id: about(node) for node in topology.nodes}
    rows = {
        name: [(edge.target, *_line(edge)) for (source, _), edge in sorted(found.items()) if source == name]
        for name in first
        if name in callers
    }
    widths = [
        max((len(row[column]) for each in rows.values() for row in each), default=0) for column in range(6)
    ]
    for name, calls in rows.items():
        said += ["", f"{name}  ({about_[name]})"]
        for row in calls:
            mark = "!" if found[(name, row[0])].trouble else " "
            padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            said.append(f" {mark}-> {'  '.join(padded)}".rstrip())
    only = [name for name in first if name in called and name not in callers]
    said += (
        ["", "Called, and calling nobody:", *(f"    {name}  ({about_[name]})" for name in only)]
        if only
        else []
    )
    quiet = [name for name in first if name not in called and name not in callers]
    said += (
        ["", "Without requests in this time:", *(f"    {name}  ({about_[name]})" for name in quiet)]
        if quiet
        else []
    )
    return "\n".join(said)


def _line(edge: Edge) -> tuple[str, ...]:
    p50 = f"p50 {milliseconds(edge.p50_ms)}" if edge.p50_ms is not None else ""
    p99 = f"p99 {milliseconds(edge.p99_ms)}" if edge.p99_ms is not None else ""
    return rate(edge), p50, p99, tls(edge), ", ".join(troubles(edge))
