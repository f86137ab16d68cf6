"""A time line: who did what, when. One lane for each actor, numbered marks, the key below in the same
order.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labsupport.draw.theme import ACCENT, MUTED, PANEL, RULE, Picture, svg, text

WIDTH = 860
LANE_LABEL = 190
LANE = 40
TOP = 58
MARK = 9  # radius of a mark
KEY_LINE = 19


@dataclass(frozen=True)
class Moment:
    """Something that happened: seconds since the start, by whom (the lane), and what, in a few words."""

    at: float
    lane: str
    what: str


def timeline(moments: Sequence[Moment], *, title: str) -> Picture:
    """Draw `moments` on a common axis in seconds, lanes in the order in which they first appear."""
    ordered = sorted(moments, key=lambda moment: moment.at)
    if not ordered:
        return Picture(
            svg(WIDTH, 40, title, "Nothing happened.", [text(0, 20, title)]), f"{title}: nothing happened."
        )
    lanes = list(dict.fromkeys(moment.lane for moment in ordered))
    end = nice_end(ordered[-1].at)
    space = WIDTH - LANE_LABEL - 30
    axis = TOP + len(lanes) * LANE

    def across(seconds: float) -> float:
        return LANE_LABEL + 12 + seconds / end * space

    body = [text(0, 18, title, size=15, bold=True)]
    for number, lane in enumerate(lanes):
        top = TOP + number * LANE
        if number % 2 == 0:
            body.append(f'<rect x="0" y="{top - 2}" width="{WIDTH}" height="{LANE}" style="fill:{PANEL}"/>')
        body.append(text(LANE_LABEL - 8, top + LANE / 2 + 3, lane, size=13, anchor="end"))
    for step in range(6):
        seconds = end * step / 5
        x = across(seconds)
        body.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{axis}" style="stroke:{RULE}" stroke-dasharray="2 3"/>'
        )
        body.append(text(x, TOP - 12, f"{seconds:g} s", size=11, anchor="middle", fill=MUTED))
    for number, (moment, x) in enumerate(zip(ordered, _spread(ordered, across), strict=True), 1):
        y = TOP + lanes.index(moment.lane) * LANE + LANE / 2 - 2
        body.append(
            f"<g><title>{number}</title>"
            f'<line x1="{across(moment.at):.1f}" x2="{across(moment.at):.1f}" y1="{y + MARK + 1:.1f}" '
            f'y2="{y + LANE / 2:.1f}" style="stroke:{ACCENT}" stroke-width="2"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{MARK}" style="fill:{ACCENT}"/>'
            f'<text x="{x:.1f}" y="{y + 3.5:.1f}" font-size="10" font-weight="600" text-anchor="middle" '
            f'style="fill:#fff">{number}</text></g>'
        )
    height = axis + 18
    words = []
    for number, moment in enumerate(ordered, 1):
        words.append(f"{number:>2}  {moment.at:6.3f} s  {moment.lane}: {moment.what}")
        lines = textwrap.wrap(f"{moment.lane}: {moment.what}", 96) or [""]
        height += KEY_LINE
        body.append(text(28, height, number, size=12, anchor="end", bold=True))
        body.append(text(96, height, f"{moment.at:.3f} s", size=12, anchor="end", fill=MUTED))
        for extra, line in enumerate(lines):
            height += KEY_LINE - 3 if extra else 0
            body.append(text(108, height, line, size=12))
    return Picture(
        svg(WIDTH, height + 12, title, "; ".join(" ".join(line.split()) for line in words), body),
        "\n".join([title, *words]),
    )


def nice_end(last: float) -> float:
    """The end of an axis that holds `last`: a step of 1, 2 or 5 times a power of ten, five steps long."""
    step = 1e-3
    while True:
        for factor in (1, 2, 5):
            if last <= step * factor * 5:
                return step * factor * 5
        step *= 10


def _spread(ordered: Sequence[Moment], across: Callable[[float], float]) -> list[float]:
    """Places for the marks: their moments, moved right where marks of one lane would hide each other."""
    last: dict[str, float] = {}
    places = []
    for moment in ordered:
        x = max(across(moment.at), last.get(moment.lane, -1e9) + 2 * MARK + 2)
        last[moment.lane] = x
        places.append(x)
    return places
