"""A road with stations, and travellers that each end at one of them: what happened to several requests."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from labsupport.draw.theme import ACCENT, MUTED, ON_ACCENT, PANEL, TEXT, Picture, svg, text

WIDTH = 900
LABEL = 200  # width left of the road
TOP = 92  # height of the stations' heads
ROW = 34
MARK = 9
KEY_LINE = 18
KEY_CHARACTERS = 130


@dataclass(frozen=True)
class Station:
    """A stop on the road: its name, what is asked or done there, and how long that takes ("" where unknown)."""

    name: str
    does: str
    time: str = ""


@dataclass(frozen=True)
class Trip:
    """One traveller: what it is, the number of the station where it ended (None: it came through), the answer in a
    word, and the whole answer.
    """

    label: str
    ended_at: int | None
    answer: str
    words: str


def road(stations: Sequence[Station], trips: Sequence[Trip], *, title: str, remark: str = "") -> Picture:
    """Draw each trip from the left to the station where it ended; the key below has the answers in full.

    `remark` is a last paragraph, for instance on how the times were measured.
    """
    step = (WIDTH - LABEL) / (len(stations) + 1)
    bottom = TOP + len(trips) * ROW + 6

    def across(number: float) -> float:
        return LABEL + (number + 0.5) * step

    body = [text(0, 18, title, size=15, bold=True)]
    for number, station in enumerate(stations):
        x = across(number)
        if number % 2 == 0:
            body.append(
                f'<rect x="{x - step / 2:.1f}" y="28" width="{step:.1f}" height="{bottom - 28}" style="fill:{PANEL}"/>'
            )
        body.append(text(x, 44, station.name, size=12, anchor="middle", bold=True))
        for row, does in enumerate(textwrap.wrap(station.does, 15)[:2]):
            body.append(text(x, 58 + 12 * row, does, size=10, anchor="middle", fill=MUTED))
        body.append(text(x, 85, station.time, size=11, anchor="middle"))
    key: list[str] = []
    words = [title]
    words += [
        f"  {station.name} ({station.does})" + (f": {station.time}" if station.time else "")
        for station in stations
    ]
    for number, trip in enumerate(trips, 1):
        y = TOP + (number - 1) * ROW + ROW / 2
        through = trip.ended_at is None
        x = across(len(stations)) if trip.ended_at is None else across(trip.ended_at)
        body += [
            text(LABEL - 12, y + 4, trip.label, anchor="end"),
            f'<line x1="{LABEL}" x2="{x:.1f}" y1="{y}" y2="{y}" style="stroke:{ACCENT}" stroke-width="2"/>',
        ]
        passed = len(stations) if trip.ended_at is None else trip.ended_at
        body += [
            f'<circle cx="{across(station):.1f}" cy="{y}" r="3" style="fill:{ACCENT}"/>'
            for station in range(passed)
        ]
        body += _mark(x, y, number, through)
        body.append(
            text(x - MARK - 6, y - 6, trip.answer, size=11, anchor="end")
            if through
            else text(x + MARK + 5, y + 4, trip.answer, size=11)
        )
        where = "came through" if trip.ended_at is None else f"ended at {stations[trip.ended_at].name}"
        words.append(f"{number:>2}  {trip.label}: {where}, {trip.answer}. {trip.words}")
        key.append(trip.words)
    height = bottom + 10
    for number, line in enumerate(key, 1):
        for extra, part in enumerate(textwrap.wrap(line, KEY_CHARACTERS) or [""]):
            height += KEY_LINE - (3 if extra else 0)
            if not extra:
                body.append(text(22, height, number, anchor="end", bold=True))
            body.append(text(34, height, part))
    if remark:
        height += 10
        words.append(remark)
        for part in textwrap.wrap(remark, KEY_CHARACTERS + 4):
            height += KEY_LINE - 3
            body.append(text(12, height, part, fill=MUTED))
    spoken = "; ".join(" ".join(line.split()) for line in words[1:])
    return Picture(svg(WIDTH, round(height) + 12, title, spoken, body), "\n".join(words))


def _mark(x: float, y: float, number: int, through: bool) -> list[str]:
    """The end of a trip: a disc where it came through, a square with a thick edge where it was stopped."""
    if through:
        shape = f'<circle cx="{x:.1f}" cy="{y}" r="{MARK}" style="fill:{ACCENT}"/>'
        colour = ON_ACCENT
    else:
        shape = (
            f'<rect x="{x - MARK:.1f}" y="{y - MARK}" width="{2 * MARK}" height="{2 * MARK}" '
            f'style="fill:var(--jp-layout-color0, Canvas);stroke:{TEXT}" stroke-width="2"/>'
        )
        colour = TEXT
    label = (
        f'<text x="{x:.1f}" y="{y + 3.5:.1f}" font-size="10" font-weight="600" text-anchor="middle" '
        f'style="fill:{colour}">{number}</text>'
    )
    return [shape, label]
