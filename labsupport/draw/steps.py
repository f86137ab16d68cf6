"""A controller's work as columns: above, the events that came; below, the one reconcile that answered them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labsupport.draw.theme import ACCENT, BAD, MUTED, ON_ACCENT, PANEL, RULE, TEXT, Picture, svg, text

WIDTH = 860
LABEL = 84  # width left of the columns
ACROSS = 5  # columns in a row
COLUMN = (WIDTH - LABEL) / ACROSS
LINE = 16
MOST = 6  # events that are written out; the others are counted
BOX = 50
CHARACTERS = 21  # of an event that fit a column


@dataclass(frozen=True)
class Step:
    """One run of a controller's function: when it began (seconds), the events that it answered, how long they had
    waited and how long it took (seconds), its requests, and what it raised.
    """

    at: float
    events: tuple[str, ...]
    waited: float
    took: float
    reads: int
    writes: int
    error: str = ""


def steps(items: Sequence[Step], *, title: str) -> Picture:
    """Draw the runs in the order of time."""
    if not items:
        return Picture(
            svg(WIDTH, 40, title, "Nothing happened.", [text(0, 20, title)]), f"{title}: nothing happened."
        )
    events, writes = sum(len(each.events) for each in items), sum(each.writes for each in items)
    head = f"{title}: {_count(events, 'event')}, {_count(len(items), 'run')}, {_count(writes, 'write')}"
    body = [text(0, 16, head, size=14, bold=True)]
    top = 34.0
    for first in range(0, len(items), ACROSS):
        row = items[first : first + ACROSS]
        lines = max(min(len(each.events), MOST + 1) for each in row)
        height = lines * LINE + 8
        body += [
            f'<rect x="0" y="{top}" width="{WIDTH}" height="{height + LINE + 4}" style="fill:{PANEL}"/>',
            text(LABEL - 12, top + 15, "events", size=12, anchor="end", fill=MUTED),
            text(LABEL - 12, top + height + LINE, "queue", size=12, anchor="end", fill=MUTED),
            text(LABEL - 12, top + height + LINE + 36, "reconcile", size=12, anchor="end", fill=MUTED),
        ]
        for place, each in enumerate(row):
            body += _column(each, LABEL + place * COLUMN, top, height)
        top += height + LINE + BOX + 36
    words = [head, *(_sentence(each) for each in items)]
    return Picture(svg(WIDTH, round(top), title, "; ".join(words[1:]), body), "\n".join(words))


def _column(step: Step, left: float, top: float, height: float) -> list[str]:
    shown = [*step.events[:MOST]]
    if len(step.events) > MOST:
        shown.append(f"and {len(step.events) - MOST} more")
    body = [
        text(left + 4, top + 15 + number * LINE, _cut(each), size=11) for number, each in enumerate(shown)
    ]
    middle, box = left + COLUMN / 2 - 8, top + height + LINE + 10
    body.append(
        f'<line x1="{left + 1:.1f}" x2="{left + 1:.1f}" y1="{top + 4}" y2="{top + height + LINE}" '
        f'style="stroke:{RULE}"/>'
    )
    waits = f"{_count(len(step.events), 'event')} waited {_milliseconds(step.waited)}"
    body.append(text(left + 4, top + height + LINE, waits, size=11, fill=MUTED))
    busy = step.writes or step.error
    fill, ink, edge = (
        (BAD, ON_ACCENT, BAD) if step.error else (ACCENT, ON_ACCENT, ACCENT) if busy else ("none", TEXT, RULE)
    )
    body.append(
        f'<rect x="{left + 4:.1f}" y="{box}" width="{COLUMN - 14:.1f}" height="{BOX - 8}" rx="5" '
        f'style="fill:{fill};stroke:{edge}"/>'
    )
    body.append(text(middle, box + 17, _result(step), size=12, anchor="middle", fill=ink, bold=bool(busy)))
    body.append(
        text(
            middle,
            box + 33,
            f"{_requests(step)} in {_milliseconds(step.took)}",
            size=11,
            anchor="middle",
            fill=ink,
        )
    )
    body.append(text(middle, box + BOX + 6, f"at {step.at:.3f} s", size=11, anchor="middle", fill=MUTED))
    return body


def _result(step: Step) -> str:
    if step.error:
        return _cut(f"raised {step.error}")
    return _count(step.writes, "write") if step.writes else "nothing to do"


def _requests(step: Step) -> str:
    return f"{_count(step.reads + step.writes, 'request')}"


def _sentence(step: Step) -> str:
    return (
        f"  at {step.at:.3f} s  {', '.join(step.events) or 'tried again'} (waited {_milliseconds(step.waited)}): "
        f"{_result(step)}, {_requests(step)} in {_milliseconds(step.took)}"
    )


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _cut(words: str) -> str:
    return words if len(words) <= CHARACTERS else words[: CHARACTERS - 1] + "…"
