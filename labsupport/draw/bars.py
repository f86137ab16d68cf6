"""A bar for each of a few things, longest first: how much of a quantity each of them has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labsupport.draw.theme import ACCENT, MUTED, ON_ACCENT, PANEL, Picture, svg, text

WIDTH = 720
LABEL = 190  # width left of the bars
VALUE = 90  # width right of the bars
ROW = 26


@dataclass(frozen=True)
class Bar:
    """One thing: its name, how much it has (None where unknown), and a remark."""

    name: str
    value: float | None
    remark: str = ""


def bars(items: Sequence[Bar], *, title: str, unit: str) -> Picture:
    """Draw `items` with their values in `unit`, and their sum."""
    ordered = sorted(items, key=lambda item: -(item.value or 0.0))
    total = sum(item.value or 0.0 for item in ordered)
    longest = max((item.value or 0.0 for item in ordered), default=0.0) or 1.0
    space = WIDTH - LABEL - VALUE
    body = [text(0, 16, f"{title}: {total:.0f} {unit} together", size=14, bold=True)]
    for number, item in enumerate(ordered):
        top = 28 + number * ROW
        length = (item.value or 0.0) / longest * space
        body += [
            text(LABEL - 10, top + 15, item.name, anchor="end"),
            f'<rect x="{LABEL}" y="{top + 3}" width="{space}" height="{ROW - 10}" rx="3" style="fill:{PANEL}"/>',
            f'<rect x="{LABEL}" y="{top + 3}" width="{length:.1f}" height="{ROW - 10}" rx="3" '
            f'style="fill:{ACCENT}"/>',
            text(LABEL + space + 8, top + 15, _amount(item, unit)),
        ]
        if item.remark:
            # Long bars hold their remark inside, short ones beside it.
            body.append(
                text(LABEL + space - 6, top + 14, item.remark, size=11, anchor="end", fill=MUTED)
                if length < space * 0.6
                else text(LABEL + 8, top + 14, item.remark, size=11, fill=ON_ACCENT)
            )
    width = max((len(item.name) for item in ordered), default=0)
    lines = [f"{title}: {total:.0f} {unit} together"]
    lines += [f"  {item.name:<{width}}  {_amount(item, unit)}  {item.remark}".rstrip() for item in ordered]
    return Picture(svg(WIDTH, 34 + len(ordered) * ROW, title, "; ".join(lines[1:]), body), "\n".join(lines))


def _amount(item: Bar, unit: str) -> str:
    return "unknown" if item.value is None else f"{item.value:.0f} {unit}"
