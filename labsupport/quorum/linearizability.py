"""Was a history of reads and writes linearizable? Each operation must seem to happen at one moment of its own time.

The search is that of Wing and Gong (Testing and Verifying Concurrent Objects, 1993) with the memory of Lowe (Testing
for linearizability, 2017), which porcupine uses as well: try what could come next, remember where that led.
Each key is a register of its own, and a history is linearizable if each key's is (Herlihy and Wing, 1990, theorem 1).

An operation whose answer never came (`returned` is None) may have happened at any moment after its call, or never. Such
operations are what makes the search explode, so three things that change no verdict keep it small:
- reads without an answer say nothing and are left out;
- a write without an answer is only tried where the next operation looks at what it wrote: where none does, it could
  as well come at the very end, where anything is possible;
- of those that write what nobody ever saw, all are alike, and only the first is tried.

Writers must write values that nobody else writes (a client's number and a count, say). Who compares revisions, as the
store's API does, notes as `expected` the value that it had read with that revision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

Value = bytes | str | None  # None: the key is not there
Kind = Literal["get", "put", "cas"]  # to delete is to put None
_UNSEEN = object()  # a value that nobody ever saw
STEPS = 2_000_000  # how much is tried before the search gives up


@dataclass(frozen=True)
class Operation:
    """What a client did and saw. Times are of one clock, in any unit."""

    client: int | str
    key: str
    kind: Kind
    called: float
    returned: float | None  # None: no answer, or one that does not say whether it happened
    value: Value = None  # put, cas: what was to be written; get: what was read
    expected: Value = None  # cas: what was to be there
    done: bool = True  # cas with an answer: whether it was

    def __str__(self) -> str:
        end = "?" if self.returned is None else f"{self.returned:.6g}"
        what = {
            "get": f"get -> {self.value!r}",
            "put": f"put {self.value!r}",
            "cas": f"cas {self.expected!r} -> {self.value!r}" + ("" if self.done else " (refused)"),
        }[self.kind]
        return f"[{self.called:.6g}, {end}] client {self.client}: {what}"


@dataclass(frozen=True)
class Verdict:
    """`failing`: a part of one key's operations that cannot be put in order, and of which none can be left out."""

    linearizable: bool
    operations: int
    ambiguous: int  # of those: without an answer
    keys: int
    explored: int
    key: str | None = None
    failing: tuple[Operation, ...] = ()

    def __str__(self) -> str:
        head = f"{self.operations} operations on {self.keys} keys, {self.ambiguous} without an answer"
        if self.linearizable:
            return f"linearizable: {head}"
        return "\n".join(
            [f"NOT linearizable: {head}; of key {self.key!r} these contradict each other:"]
            + [f"  {operation}" for operation in self.failing]
        )


class Undecided(Exception):
    """The search became too long: fewer operations without an answer, or more keys, make it shorter."""


def check(history: Iterable[Operation], *, initial: Value = None, steps: int = STEPS) -> Verdict:
    """Whether there is an order that explains all answers, each key holding `initial` first.

    Raises Undecided after `steps` tries on one key.
    """
    operations = list(history)
    by_key: dict[str, list[Operation]] = {}
    for operation in operations:
        by_key.setdefault(operation.key, []).append(operation)
    ambiguous = sum(operation.returned is None for operation in operations)
    explored = 0
    for key, own in sorted(by_key.items()):
        found, tried = _search(own, initial, steps)
        explored += tried
        if not found:
            failing = tuple(_smallest(own, lambda part: not _search(part, initial, steps)[0]))
            return Verdict(False, len(operations), ambiguous, len(by_key), explored, key, failing)
    return Verdict(True, len(operations), ambiguous, len(by_key), explored)


@dataclass(frozen=True)
class _Place:
    """How far an order has come: definite operations before `first` are in it, and those of `ahead`, bits from `first`.

    `open`: the last one had no answer, so what it wrote must be looked at next.
    """

    first: int
    ahead: int
    used: int  # bits of the operations without an answer that are in it
    state: object
    open: bool


def _search(operations: list[Operation], initial: Value, steps: int) -> tuple[bool, int]:
    definite = sorted((o for o in operations if o.returned is not None), key=lambda o: (o.called, o.returned))
    maybe = sorted((o for o in operations if o.returned is None and o.kind != "get"), key=lambda o: o.called)
    seen = {o.value for o in definite if o.kind == "get"} | {
        o.expected for o in operations if o.kind == "cas"
    }
    if not any(o.kind == "cas" and not o.done for o in definite):
        maybe = [o for o in maybe if o.value in seen]  # nobody looks at what the others wrote
    start = _Place(0, 0, 0, initial, False)
    visited = {start}
    paths = [_next(start, definite, maybe, seen)]
    while paths:
        place = next(paths[-1], None)
        if place is None:
            paths.pop()
        elif place.first == len(definite):
            return True, len(visited)
        elif place not in visited:
            visited.add(place)
            if len(visited) > steps:
                raise Undecided(f"more than {steps} tries on key {operations[0].key!r}")
            paths.append(_next(place, definite, maybe, seen))
    return not definite, len(visited)


def _next(
    place: _Place, definite: list[Operation], maybe: list[Operation], seen: set[Value]
) -> Iterator[_Place]:
    """Where the order can go from here: nothing comes after what had ended before its call."""
    until = float("inf")
    candidates = []
    for at in range(place.first, len(definite)):
        operation = definite[at]
        if operation.called > until:
            break
        if not place.ahead >> (at - place.first) & 1:
            candidates.append(at)
            until = min(until, operation.returned or 0.0)
    for at in candidates:
        operation = definite[at]
        if operation.called > until or (place.open and operation.kind == "put"):
            continue
        fits, then = _apply(operation, place.state)
        if fits:
            first, ahead = place.first, place.ahead | 1 << (at - place.first)
            while ahead & 1:
                first, ahead = first + 1, ahead >> 1
            yield _Place(first, ahead, place.used, then, False)
    unseen = False
    for at, operation in enumerate(maybe):
        if operation.called > until:
            break
        if place.used >> at & 1 or (place.open and operation.kind == "put"):
            continue
        if operation.kind == "cas" and place.state != operation.expected:
            continue  # it would have changed nothing
        state: object = operation.value
        if operation.kind == "put" and operation.value not in seen:
            if unseen:
                continue
            unseen, state = True, _UNSEEN
        yield _Place(place.first, place.ahead, place.used | 1 << at, state, True)


def _apply(operation: Operation, state: object) -> tuple[bool, object]:
    """Whether a register in this state could have answered so, and its state then."""
    if operation.kind == "get":
        return state == operation.value, state
    if operation.kind == "put":
        return True, operation.value
    if operation.done:
        return state == operation.expected, operation.value
    return state != operation.expected, state


def _smallest(operations: list[Operation], fails: Callable[[list[Operation]], bool]) -> list[Operation]:
    """A part that fails for the same reason: nothing in it can be left out, and what is left out could not explain it.

    First the shortest time in which it fails (what ends later has no answer yet), then whatever is not needed.
    """
    ends = sorted(o.returned for o in operations if o.returned is not None)
    low, high = 0, len(ends) - 1  # up to ends[high] it fails
    while low < high:
        middle = (low + high) // 2
        if fails(_until(operations, ends[middle])):
            high = middle
        else:
            low = middle + 1
    part = sorted(_until(operations, ends[high]), key=lambda o: o.called)
    size = len(part)
    while size:
        at = 0
        while at < len(part):
            without = part[:at] + part[at + size :]
            if _may_be_left_out(part[at : at + size], without) and fails(without):
                part = without
            else:
                at += size
        size //= 2
    return part


def _until(operations: list[Operation], end: float) -> list[Operation]:
    return [
        o if o.returned is not None and o.returned <= end else replace(o, returned=None)
        for o in operations
        if o.called <= end
    ]


def _may_be_left_out(left_out: list[Operation], rest: list[Operation]) -> bool:
    """Whether a contradiction in `rest` is one of the whole: it is unless something left out wrote what `rest` saw."""
    writes = [o for o in left_out if o.kind == "put" or (o.kind == "cas" and (o.done or o.returned is None))]
    if not writes:
        return True
    looked_at = {o.value for o in rest if o.kind == "get" and o.returned is not None}
    looked_at |= {o.expected for o in rest if o.kind == "cas" and (o.done or o.returned is None)}
    refused = any(o.kind == "cas" and not o.done and o.returned is not None for o in rest)
    return not refused and not any(o.value in looked_at for o in writes)
