"""Distributions side by side: how many of all values lie below each value, with the medians and the slow ends marked.

An empirical distribution function hides nothing: no bins are chosen, and each quantile can be read off its height.
Rounds are drawn faintly behind the whole, so that what differs between them is seen as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from labsupport.draw.theme import ACCENT, MUTED, RULE, TEXT, Picture, svg, text
from labsupport.draw.timeline import axis

WIDTH = 860
LEFT, RIGHT = 64, 24
TOP, HEIGHT = 60, 240
ROW = 22
MARKS = (50.0, 90.0, 99.0)  # per cent
STEPS = 160  # points of a drawn curve
STYLES = ((ACCENT, ""), (TEXT, "7 4"), (MUTED, "2 3"))  # colour and dashes: told apart without colours too

Rounds = Sequence[Sequence[float]]


def quantile(values: Sequence[float], percent: float) -> float:
    """The least of `values` that `percent` per cent of them do not exceed. Errors: ValueError where there are none."""
    if not values:
        raise ValueError("there are no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def ecdf(series: Mapping[str, Rounds], *, title: str, unit: str) -> Picture:
    """Draw the values of each series, given in rounds, in `unit` on one axis.

    Below them stand their quantiles, and by how much those of the others exceed the first's.
    """
    whole = {name: [value for each in rounds for value in each] for name, rounds in series.items()}
    whole = {name: values for name, values in whole.items() if values}
    if not whole:
        return Picture(
            svg(WIDTH, 40, title, "Nothing was measured.", [text(0, 16, title)]), f"{title}: nothing."
        )
    # The few slowest would press all others to the left; they are counted below instead.
    step, end = axis(max(quantile(values, 99.5) for values in whole.values()))
    body = [text(0, 18, title, size=15, bold=True), *_grid(step, end, unit)]
    lines = [f"{title} ({unit})"]
    for number, (name, values) in enumerate(whole.items()):
        colour, dashes = STYLES[number % len(STYLES)]
        for each in series[name]:
            body.append(_curve(each, end, f"stroke:{colour};stroke-width:1;stroke-opacity:0.25"))
        body.append(
            _curve(values, end, f"stroke:{colour};stroke-width:2.2;stroke-dasharray:{dashes or 'none'}")
        )
    y = TOP + HEIGHT + 44
    for row in table(series, unit):
        y += ROW
        for x, cell in zip((40, 300, 480, 660), row, strict=True):
            body.append(text(x, y, cell, bold=x == 40))
        lines.append("  " + " | ".join(row))
    for number in range(len(whole)):
        colour, dashes = STYLES[number % len(STYLES)]
        at = TOP + HEIGHT + 44 + ROW * (number + 2) - 4
        body.append(
            f'<line x1="0" x2="32" y1="{at}" y2="{at}" style="stroke:{colour};stroke-width:2.2;'
            f'stroke-dasharray:{dashes or "none"}"/>'
        )
    for name, values in whole.items():
        beyond = [value for value in values if value > end]
        if beyond:
            words = f"{len(beyond)} of {len(values)} {name} took longer than {end:.4g} {unit}, up to {max(beyond):.4g}"
            y += ROW
            body.append(text(40, y, words, size=11, fill=MUTED))
            lines.append("  " + words)
    return Picture(svg(WIDTH, round(y) + 14, title, "; ".join(lines[1:]), body), "\n".join(lines))


def table(series: Mapping[str, Rounds], unit: str) -> list[tuple[str, str, str, str]]:
    """Rows of words: each series' quantiles with the least and most of its rounds, then the differences."""
    rows = [("", *(f"p{mark:.0f} ({unit})" for mark in MARKS))]
    first: list[list[float]] = []
    differences = []
    for name, rounds in series.items():
        filled = [each for each in rounds if each]
        if not filled:
            continue
        by_round = [[quantile(each, mark) for each in filled] for mark in MARKS]
        whole = [quantile([value for each in filled for value in each], mark) for mark in MARKS]
        rows.append((name, *(_spread(all_of, each) for all_of, each in zip(whole, by_round, strict=True))))
        if not first:
            first = [whole, *by_round]
        else:
            cells = []
            for number, mark in enumerate(by_round):
                gaps = [b - a for a, b in zip(first[number + 1], mark, strict=False)]
                cells.append(_spread(whole[number] - first[0][number], gaps, sign=True))
            differences.append((f"{name}, more", *cells))
    return [*rows, *differences]  # type: ignore[list-item]  # one cell for the name and one for each of the three marks


def _spread(value: float, rounds: Sequence[float], *, sign: bool = False) -> str:
    plus = "+" if sign else ""
    return f"{value:{plus}.2f} ({min(rounds):{plus}.2f} to {max(rounds):{plus}.2f})"


def _x(value: float, end: float) -> float:
    return LEFT + min(value, end) / end * (WIDTH - LEFT - RIGHT)


def _y(percent: float) -> float:
    return TOP + HEIGHT * (1 - percent / 100)


def _grid(step: float, end: float, unit: str) -> list[str]:
    body = []
    for percent in (0.0, *MARKS, 100.0):
        y = _y(percent)
        body.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" style="stroke:{RULE}"/>'
        )
        if percent < 100:  # 99 stands so near that the two would touch
            body.append(text(LEFT - 8, y + 4, f"{percent:.0f} %", size=11, anchor="end", fill=MUTED))
    for tick in range(round(end / step) + 1):
        x = _x(tick * step, end)
        body.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{TOP + HEIGHT}" style="stroke:{RULE}" '
            'stroke-dasharray="2 3"/>'
        )
        body.append(text(x, TOP + HEIGHT + 18, f"{tick * step:.4g}", size=11, anchor="middle", fill=MUTED))
    body.append(text(WIDTH - RIGHT, TOP + HEIGHT + 36, f"{unit} and less", size=11, anchor="end", fill=MUTED))
    body.append(text(LEFT, TOP - 12, "of all requests", size=11, fill=MUTED))
    return body


def _curve(values: Sequence[float], end: float, style: str) -> str:
    if not values:
        return ""
    points = [(0.0, 0.0)]
    for number in range(STEPS + 1):
        percent = number * 100 / STEPS
        value = quantile(values, percent)
        if value > end:
            break
        points.append((value, percent))
    path = " ".join(f"{_x(value, end):.1f},{_y(percent):.1f}" for value, percent in points)
    return f'<polyline points="{path}" style="fill:none;{style}"/>'
