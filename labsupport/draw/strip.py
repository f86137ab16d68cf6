"""Repeated measurements, one row for each thing measured: every value a dot, the median a bar and a number.

One number hides what differs; a row of dots does not.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from labsupport.draw.theme import ACCENT, MUTED, PANEL, RULE, Picture, svg, text
from labsupport.draw.timeline import axis

WIDTH = 780
LABEL = 210
VALUE = 170
ROW = 34
TOP = 48


def strip(rows: Mapping[str, Sequence[float]], *, title: str, unit: str, end: float | None = None) -> Picture:
    """Draw the values of each row in `unit` on one axis from 0 to `end` (default: a round number above them all)."""
    step, top_of_axis = axis(max((value for values in rows.values() for value in values), default=1.0) or 1.0)
    if end is not None:
        step, top_of_axis = end / 5, end
    space = WIDTH - LABEL - VALUE
    height = TOP + len(rows) * ROW + 8
    body = [text(0, 16, title, size=14, bold=True)]
    for tick in range(round(top_of_axis / step) + 1):
        x = LABEL + tick * step / top_of_axis * space
        body.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height - 8}" style="stroke:{RULE}" '
            'stroke-dasharray="2 3"/>'
        )
        body.append(text(x, TOP - 10, f"{tick * step:.4g}", size=11, anchor="middle", fill=MUTED))
    body.append(text(LABEL + space + 24, TOP - 10, f"median (least to most) {unit}", size=11, fill=MUTED))
    lines = [f"{title} ({unit})"]
    width = max((len(name) for name in rows), default=0)
    for number, (name, values) in enumerate(rows.items()):
        top = TOP + number * ROW
        if number % 2 == 0:
            body.append(f'<rect x="0" y="{top}" width="{WIDTH}" height="{ROW}" style="fill:{PANEL}"/>')
        body.append(text(LABEL - 10, top + ROW / 2 + 4, name, anchor="end"))
        if not values:
            body.append(text(LABEL, top + ROW / 2 + 4, "not measured", fill=MUTED))
            lines.append(f"  {name:<{width}}  not measured")
            continue
        for index, value in enumerate(values):
            x = LABEL + min(value, top_of_axis) / top_of_axis * space
            y = top + ROW / 2 + (index % 5 - 2) * 4  # equal values beside each other, not upon each other
            body.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" style="fill:{ACCENT}" fill-opacity="0.45"/>'
            )
        middle = statistics.median(values)
        x = LABEL + min(middle, top_of_axis) / top_of_axis * space
        body.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + 4}" y2="{top + ROW - 4}" style="stroke:currentColor" '
            'stroke-width="2"/>'
        )
        words = f"{middle:.3g} ({min(values):.3g} to {max(values):.3g})"
        body.append(text(LABEL + space + 24, top + ROW / 2 + 4, words))
        lines.append(f"  {name:<{width}}  median {words}, {len(values)} times")
    description = "; ".join(line.strip() for line in lines[1:])
    return Picture(svg(WIDTH, height, title, f"{unit}. {description}", body), "\n".join(lines))
