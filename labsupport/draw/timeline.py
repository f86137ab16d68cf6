"""A time line: who did what, when. One lane for each actor, numbered marks, the key below in the same
order.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labsupport.draw.theme import ACCENT, MUTED, ON_ACCENT, PANEL, RULE, Picture, svg, text

WIDTH = 860
LANE_LABEL = 170
ROW = 22  # height of one row of marks; a lane has as many rows as its marks need
PADDING = 5  # above and below the rows of a lane
TOP = 52
MARK = 9  # radius of a mark
KEY_LINE = 19
KEY_CHARACTERS = 112


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
    step, end = axis(ordered[-1].at)
    space = WIDTH - LANE_LABEL - 40

    def across(seconds: float) -> float:
        return LANE_LABEL + 16 + seconds / end * space

    rows = _rows(ordered, across)
    tops, bottom = [], float(TOP)
    for lane in lanes:
        tops.append(bottom)
        count = 1 + max(row for moment, row in zip(ordered, rows, strict=True) if moment.lane == lane)
        bottom += count * ROW + 2 * PADDING
    body = [text(0, 18, title, size=15, bold=True)]
    for number, (lane, top) in enumerate(zip(lanes, tops, strict=True)):
        height = (tops[number + 1] if number + 1 < len(tops) else bottom) - top
        if number % 2 == 0:
            body.append(f'<rect x="0" y="{top}" width="{WIDTH}" height="{height}" style="fill:{PANEL}"/>')
        body.append(text(LANE_LABEL - 8, top + PADDING + ROW / 2 + 4, lane, size=13, anchor="end"))
    for tick in range(round(end / step) + 1):
        x = across(tick * step)
        body.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{bottom}" style="stroke:{RULE}" '
            f'stroke-dasharray="2 3"/>'
        )
        body.append(text(x, TOP - 12, f"{tick * step:.4g} s", size=11, anchor="middle", fill=MUTED))
    for number, (moment, row) in enumerate(zip(ordered, rows, strict=True), 1):
        x, y = across(moment.at), tops[lanes.index(moment.lane)] + PADDING + row * ROW + ROW / 2
        body.append(
            f'<g><title>{number}</title><circle cx="{x:.1f}" cy="{y:.1f}" r="{MARK}" style="fill:{ACCENT}"/>'
            f'<text x="{x:.1f}" y="{y + 3.5:.1f}" font-size="10" font-weight="600" text-anchor="middle" '
            f'style="fill:{ON_ACCENT}">{number}</text></g>'
        )
    height = bottom + 12
    words = []
    for number, moment in enumerate(ordered, 1):
        words.append(f"{number:>2}  {moment.at:6.3f} s  {moment.lane}: {moment.what}")
        lines = textwrap.wrap(f"{moment.lane}: {moment.what}", KEY_CHARACTERS) or [""]
        height += KEY_LINE
        body.append(text(28, height, number, size=12, anchor="end", bold=True))
        body.append(text(96, height, f"{moment.at:.3f} s", size=12, anchor="end", fill=MUTED))
        for extra, line in enumerate(lines):
            height += KEY_LINE - 3 if extra else 0
            body.append(text(108, height, line, size=12))
    return Picture(
        svg(WIDTH, round(height) + 12, title, "; ".join(" ".join(line.split()) for line in words), body),
        "\n".join([title, *words]),
    )


def axis(last: float) -> tuple[float, float]:
    """Step and end of an axis that holds `last`: 1, 2 or 5 times a power of ten, six steps at most."""
    power = 1e-3
    while True:
        for factor in (1, 2, 5):
            step = factor * power
            if last <= step * 6:
                return step, step * max(1, math.ceil(last / step))
        power *= 10


def _rows(ordered: Sequence[Moment], across: Callable[[float], float]) -> list[int]:
    """A row within its lane for each mark: the first in which it hides no other, so that marks keep their true time."""
    ends: dict[tuple[str, int], float] = {}
    rows = []
    for moment in ordered:
        x, row = across(moment.at), 0
        while ends.get((moment.lane, row), -math.inf) > x - 2 * MARK:
            row += 1
        ends[moment.lane, row] = x
        rows.append(row)
    return rows
