"""A way that forks at its end: stages one after another, then as many ends, each with its share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labsupport.draw.theme import ACCENT, CODE_FONT, MUTED, PANEL, RULE, Picture, escape, svg, text

WIDTH = 900
TOP = 34
STAGE = (350, 46)  # width and height of a stage's box
DROP = 22  # between one stage and the next, which stands below it
END = (360, 42)
ROW = 52
FORK = 170  # width that the fork takes


@dataclass(frozen=True)
class Stage:
    """A place on the way: its name as the machine has it, and what happens there."""

    name: str
    what: str


@dataclass(frozen=True)
class End:
    """Where some of what comes ends: an address, who that is, and the share (0 to 1) that goes there."""

    name: str
    what: str
    share: float


def fanout(stages: Sequence[Stage], ends: Sequence[End], *, title: str) -> Picture:
    """Draw `stages` from top to bottom and the `ends` to the right of the last one."""
    height = TOP + max(len(stages) * (STAGE[1] + DROP), len(ends) * ROW) + 8
    body = [text(0, 16, title, size=14, bold=True)]
    for number, stage in enumerate(stages):
        top = TOP + number * (STAGE[1] + DROP)
        if number:
            body.append(_arrow(STAGE[0] / 2, top - DROP, STAGE[0] / 2, top))
        body.append(_box(0, top, STAGE[0], STAGE[1], stage.name, stage.what))
    middle = TOP + (len(stages) - 1) * (STAGE[1] + DROP) + STAGE[1] / 2
    x = STAGE[0] + FORK
    for number, end in enumerate(ends):
        y = TOP + number * ROW + END[1] / 2
        body.append(_arrow(STAGE[0], middle, x, y))
        body.append(_box(x, y - END[1] / 2, END[0], END[1], end.name, end.what))
        body.append(text(x + END[0] - 12, y + 5, _percent(end.share), size=15, anchor="end", bold=True))
    lines = [title, *(f"  {'-> ' if number else ''}{s.name} ({s.what})" for number, s in enumerate(stages))]
    lines += [f"     {_percent(end.share):>5} -> {end.name} ({end.what})" for end in ends]
    return Picture(
        svg(WIDTH, round(height), title, "; ".join(line.strip() for line in lines[1:]), body),
        "\n".join(lines),
    )


def _box(x: float, y: float, width: float, height: float, name: str, what: str) -> str:
    return (
        f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{width - 2}" height="{height}" rx="4" '
        f'style="fill:{PANEL};stroke:{RULE}"/>'
        f'<text x="{x + 10:.1f}" y="{y + height / 2 - 3:.1f}" font-size="12" '
        f'style="fill:currentColor;font-family:{CODE_FONT}">{escape(name)}</text>'
        + text(x + 10, y + height / 2 + 14, what, size=11, fill=MUTED)
    )


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    """A line with a dot at its end: SVG markers need ids, which several pictures on one page would share."""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" style="stroke:{ACCENT}" stroke-width="1.5"/>'
        f'<circle cx="{x2:.1f}" cy="{y2:.1f}" r="3.5" style="fill:{ACCENT}"/>'
    )


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"
