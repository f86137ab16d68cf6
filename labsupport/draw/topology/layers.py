"""Boxes in layers, so that calls go one way: where each box stands, and the way of each line past the others.

The steps are those of Sugiyama, Tagawa and Toda (1981): break cycles, give each box a layer, order the boxes of each
layer so that few lines cross, give them places. Coordinates are `along` (the way that calls go) and `across` it, so
that the same layout can be drawn to the right or downwards. The same input always gives the same picture.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

SWEEPS = 8  # over all layers, for the order and again for the places
LANE = 16.0  # across, that a line needs which passes a layer
PORT = 9.0  # across, at most between two lines that end at one side of a box

Line = tuple[str, str]


class Point(NamedTuple):
    """A place."""

    along: float
    across: float


@dataclass(frozen=True)
class Size:
    """How large a box is, what is free beside it, and the room that there is.

    Layers stand between `gap` and `gap_most` apart, as `room` along has it. A layer holds `least` boxes at least, and
    more if all would else need more than `room`; with many layers more room is taken.
    """

    along: float
    across: float
    gap: float
    gap_most: float
    gap_across: float
    room: float
    least: int

    @property
    def layers(self) -> int:
        """How many layers there is room for."""
        return max(1, int((self.room + self.gap) // (self.along + self.gap)))

    def gap_of(self, layers: int) -> float:
        """What is free between so many layers."""
        spare = (self.room - layers * self.along) / max(1, layers - 1)
        return min(self.gap_most, max(self.gap, spare))


@dataclass(frozen=True)
class Layout:
    """The middle of each box, and of each line the points from the caller's side to the called one's.

    Between the points 0 and 1, 2 and 3 and so on a line bends, between the others it is straight.
    """

    boxes: Mapping[str, Point]
    ways: Mapping[Line, tuple[Point, ...]]
    along: float  # the whole size
    across: float
    quiet: float | None = None  # across, where the boxes without any line begin


@dataclass
class _Slot:
    """A place in a layer: a box (`name`), or a line that only passes."""

    name: str
    before: list[_Slot] = field(default_factory=list)
    after: list[_Slot] = field(default_factory=list)
    room: float = LANE
    across: float = 0.0


def layout(names: Sequence[str], lines: Sequence[Line], size: Size) -> Layout:
    """Lay out the boxes `names` with `lines` between them; a line from a box to itself is left to whoever draws."""
    return _layout(tuple(names), tuple(lines), size)


@lru_cache(maxsize=8)  # a page that follows asks again and again for what is mostly the same
def _layout(names: tuple[str, ...], lines: tuple[Line, ...], size: Size) -> Layout:
    joined = [line for line in dict.fromkeys(lines) if line[0] != line[1]]
    ends = {end for line in joined for end in line}
    busy = [name for name in names if name in ends]
    turned = _turned(busy, joined)
    forward = {line: (line[1], line[0]) if line in turned else line for line in joined}
    at = _layers(busy, list(forward.values()), size)
    slots = {name: _Slot(name, room=size.across + size.gap_across) for name in busy}
    ranks: list[list[_Slot]] = [[] for _ in range(max(at.values(), default=-1) + 1)]
    for name in busy:
        ranks[at[name]].append(slots[name])
    chains = {line: _chain(slots, at, ranks, *ends_) for line, ends_ in forward.items()}
    _order(ranks)
    _place(ranks)
    gap = size.gap_of(len(ranks))
    step = size.along + gap
    boxes = {name: Point(at[name] * step + size.along / 2, slots[name].across) for name in busy}
    ports = _ports(chains, size)
    ways = {}
    for line, chain in chains.items():
        first = at[chain[0].name]
        points = []
        for number, slot in enumerate(chain):
            left = (first + number) * step
            if number:
                points.append(Point(left, slot.across + ports.get((line, "in", number), 0.0)))
            if number < len(chain) - 1:
                points.append(Point(left + size.along, slot.across + ports.get((line, "out", number), 0.0)))
        ways[line] = tuple(reversed(points)) if line in turned else tuple(points)
    across = max((slot.across + slot.room / 2 for rank in ranks for slot in rank), default=0.0)
    along = len(ranks) * step - gap if ranks else 0.0
    return _with_quiet(Layout(boxes, ways, along, across), [name for name in names if name not in ends], size)


def _with_quiet(found: Layout, names: Sequence[str], size: Size) -> Layout:
    """The layout with the boxes that have no line in rows behind the others."""
    if not names:
        return found
    step = size.along + size.gap / 4
    row = max(1, int((max(found.along, size.room) + size.gap / 4) // step))
    begin = found.across + (2.5 * size.gap_across if found.boxes else 0.0)
    boxes = dict(found.boxes)
    for number, name in enumerate(names):
        boxes[name] = Point(
            number % row * step + size.along / 2,
            begin + (number // row + 0.5) * (size.across + size.gap_across),
        )
    rows = -(-len(names) // row)
    along = max(found.along, min(row, len(names)) * step - size.gap / 4)
    across = begin + rows * (size.across + size.gap_across)
    return Layout(boxes, found.ways, along, across, begin)


def _turned(names: Sequence[str], lines: Sequence[Line]) -> set[Line]:
    """The lines that close a cycle on a walk from those who are never called; turned round, none is left."""
    out: dict[str, list[str]] = {name: [] for name in names}
    called = set()
    for source, target in lines:
        out[source].append(target)
        called.add(target)
    turned: set[Line] = set()
    state: dict[str, int] = {}  # 1: on the way down to where the walk is, 2: done
    for start in sorted(names, key=lambda name: (name in called, -len(out[name]), name)):
        if start in state:
            continue
        state[start] = 1
        walk = [(start, iter(sorted(out[start])))]
        while walk:
            name, rest = walk[-1]
            for target in rest:
                if state.get(target) == 1:
                    turned.add((name, target))
                elif target not in state:
                    state[target] = 1
                    walk.append((target, iter(sorted(out[target]))))
                    break
            else:
                state[name] = 2
                walk.pop()
    return turned


def _layers(names: Sequence[str], lines: Sequence[Line], size: Size) -> dict[str, int]:
    """A layer for each box, after all that call it, in the first that is not full (as Coffman and Graham, 1972)."""
    most = max(size.least, -(-len(names) // size.layers))
    before: dict[str, set[str]] = {name: set() for name in names}
    after: dict[str, set[str]] = {name: set() for name in names}
    for source, target in lines:
        before[target].add(source)
        after[source].add(target)
    open_ = {name: len(before[name]) for name in names}
    due = sorted(name for name in names if not open_[name])
    at: dict[str, int] = {}
    count: dict[int, int] = {}
    while due:
        # Those first whose callers stand first, so that layers fill from the left; then those who call much.
        due.sort(
            key=lambda name: (max((at[each] for each in before[name]), default=-1), -len(after[name]), name)
        )
        name = due.pop(0)
        layer = max((at[each] for each in before[name]), default=-1) + 1
        while count.get(layer, 0) >= most:
            layer += 1
        at[name] = layer
        count[layer] = count.get(layer, 0) + 1
        for target in after[name]:
            open_[target] -= 1
            if not open_[target]:
                due.append(target)
    # Whoever calls only what is far away moves towards it: shorter lines.
    for name in sorted(names, key=lambda name: -at[name]):
        if not before[name] and after[name]:
            near = min(at[each] for each in after[name]) - 1
            if near > at[name] and count.get(near, 0) < most:
                count[at[name]] -= 1
                count[near] += 1
                at[name] = near
    used = {layer: number for number, layer in enumerate(sorted(set(at.values())))}
    return {name: used[layer] for name, layer in at.items()}


def _chain(
    slots: Mapping[str, _Slot], at: Mapping[str, int], ranks: list[list[_Slot]], source: str, target: str
) -> list[_Slot]:
    """The slots of a line from box to box, with one in each layer between."""
    passed = [_Slot("") for _ in range(at[source] + 1, at[target])]
    for layer, slot in enumerate(passed, at[source] + 1):
        ranks[layer].append(slot)
    chain = [slots[source], *passed, slots[target]]
    for one, other in pairwise(chain):
        one.after.append(other)
        other.before.append(one)
    return chain


def _order(ranks: list[list[_Slot]]) -> None:
    """Put each layer's slots at the mean of their neighbours' places, down and up; the best order found stays."""
    best, fewest = [list(rank) for rank in ranks], _crossings(ranks)
    for sweep in range(SWEEPS):
        forth = sweep % 2 == 0
        for number in range(1, len(ranks)) if forth else range(len(ranks) - 2, -1, -1):
            beside = ranks[number - 1 if forth else number + 1]
            where = {id(slot): place for place, slot in enumerate(beside)}
            own = {id(slot): place for place, slot in enumerate(ranks[number])}

            def wanted(slot: _Slot, where: Mapping[int, int] = where, own: Mapping[int, int] = own) -> float:
                found = [where[id(each)] for each in slot.before + slot.after if id(each) in where]
                return sum(found) / len(found) if found else own[id(slot)]

            ranks[number].sort(key=wanted)
        count = _crossings(ranks)
        if count < fewest:
            best, fewest = [list(rank) for rank in ranks], count
    ranks[:] = best


def _crossings(ranks: Sequence[Sequence[_Slot]]) -> int:
    total = 0
    for rank, following in pairwise(ranks):
        where = {id(slot): place for place, slot in enumerate(following)}
        seen: list[int] = []
        for slot in rank:
            targets = [where[id(each)] for each in slot.after]
            total += sum(len(seen) - bisect_right(seen, target) for target in targets)
            for target in targets:
                insort(seen, target)
    return total


def _place(ranks: Sequence[Sequence[_Slot]]) -> None:
    """Give each slot its place across: near its neighbours, none over another."""
    for rank in ranks:
        whole = sum(slot.room for slot in rank)
        begin = -whole / 2
        for slot in rank:
            slot.across = begin + slot.room / 2
            begin += slot.room
    for sweep in range(SWEEPS):
        for rank in ranks if sweep % 2 == 0 else reversed(ranks):
            wanted = []
            for slot in rank:
                near = [each.across for each in slot.before + slot.after]
                wanted.append(sum(near) / len(near) if near else slot.across)
            for slot, across in zip(rank, _apart(rank, wanted), strict=True):
                slot.across = across
    first = min((slot.across - slot.room / 2 for rank in ranks for slot in rank), default=0.0)
    for slot in (slot for rank in ranks for slot in rank):
        slot.across -= first


def _apart(rank: Sequence[_Slot], wanted: Sequence[float]) -> list[float]:
    """The places nearest to `wanted` (least squares) that keep the order and leave each slot its room.

    Less the room that all before take, places need only not fall: isotonic regression, by pooling neighbours.
    """
    offsets, taken = [], 0.0
    for slot in rank:
        offsets.append(taken + slot.room / 2)
        taken += slot.room
    pools: list[tuple[float, int]] = []  # sum of what is wanted, and of how many
    for want, offset in zip(wanted, offsets, strict=True):
        pools.append((want - offset, 1))
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1] = (pools[-1][0] + total, pools[-1][1] + count)
    level = [total / count for total, count in pools for _ in range(count)]
    return [here + offset for here, offset in zip(level, offsets, strict=True)]


def _ports(chains: Mapping[Line, Sequence[_Slot]], size: Size) -> dict[tuple[Line, str, int], float]:
    """How far from the middle of its box's side each line ends: in the order of where they go to."""
    sides: dict[tuple[int, str], list[tuple[float, Line, int]]] = {}
    for line, chain in chains.items():
        last = len(chain) - 1
        sides.setdefault((id(chain[0]), "out"), []).append((chain[1].across, line, 0))
        sides.setdefault((id(chain[last]), "in"), []).append((chain[last - 1].across, line, last))
    found = {}
    for (_, side), entries in sides.items():
        step = min(PORT, size.across * 0.7 / len(entries))
        for number, (_, line, place) in enumerate(sorted(entries)):
            found[(line, side, place)] = (number - (len(entries) - 1) / 2) * step
    return found
