"""The checker of histories: against all orders there are, on what is known to be right or wrong, and on large ones."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labsupport.quorum.linearizability import Operation, Undecided, check


def get(client: int, called: float, returned: float | None, value: str | None) -> Operation:
    return Operation(client, "k", "get", called, returned, value)


def put(client: int, called: float, returned: float | None, value: str | None) -> Operation:
    return Operation(client, "k", "put", called, returned, value)


def cas(
    client: int, called: float, returned: float | None, old: str, new: str, done: bool = True
) -> Operation:
    return Operation(client, "k", "cas", called, returned, new, old, done)


RIGHT = {
    "nothing": [],
    "a read before anything": [get(1, 0, 1, None)],
    "reads during a write see either": [put(1, 0, 9, "a"), get(2, 1, 2, None), get(3, 3, 4, "a")],
    "a write without an answer is seen later": [put(1, 0, None, "a"), get(2, 5, 6, None), get(2, 7, 8, "a")],
    "one without an answer that never happened": [put(1, 0, None, "a"), get(2, 5, 6, None)],
    "it undoes a later one": [put(1, 0, None, "a"), put(2, 1, 2, "b"), get(2, 3, 4, "b"), get(2, 5, 6, "a")],
    "refused because of one without an answer": [
        put(1, 0, 1, "a"),
        put(2, 2, None, "b"),
        cas(3, 3, 4, "a", "c", done=False),
    ],
    "swaps in a row": [put(1, 0, 1, "a"), cas(1, 2, 3, "a", "b"), cas(2, 2, 5, "b", "c"), get(3, 6, 7, "c")],
}
WRONG = {
    "a stale read": [put(1, 0, 1, "a"), put(1, 2, 3, "b"), get(2, 4, 5, "a")],
    "a lost write": [put(1, 0, 1, "a"), get(2, 2, 3, None)],
    "a read of what nobody wrote": [get(1, 0, 1, "a")],
    "reads that go back": [put(1, 0, 9, "a"), get(2, 1, 2, "a"), get(3, 3, 4, None)],
    "a read before its write": [get(1, 0, 1, "a"), put(2, 2, 3, "a")],
    "two swaps of one value": [put(1, 0, 1, "a"), cas(2, 2, 5, "a", "b"), cas(3, 2, 5, "a", "c")],
    "refused though it fits": [put(1, 0, 1, "a"), cas(2, 2, 3, "a", "b", done=False)],
    "done twice": [put(1, 0, None, "a"), get(2, 1, 2, "a"), put(2, 3, 4, "b"), get(2, 5, 6, "a")],
}


@pytest.mark.parametrize("name", RIGHT)
def test_right(name: str) -> None:
    assert check(RIGHT[name]).linearizable


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str) -> None:
    verdict = check(WRONG[name])
    assert not verdict.linearizable
    needed = 1 if name == "a read before its write" else len(WRONG[name])  # what came later explains nothing
    assert len(verdict.failing) == needed  # none could be left out
    assert "NOT linearizable" in str(verdict)


def right_by_all_orders(history: list[Operation]) -> bool:
    """The definition, word for word: any order, any choice of those without an answer."""
    sure = [o for o in history if o.returned is not None]
    for count in range(len(history) - len(sure) + 1):
        for some in itertools.combinations([o for o in history if o.returned is None], count):
            for order in itertools.permutations([*sure, *some]):
                if _in_time(order) and _explains(order):
                    return True
    return False


def _in_time(order: tuple[Operation, ...]) -> bool:
    return not any(
        later.returned is not None and later.returned < earlier.called
        for at, earlier in enumerate(order)
        for later in order[at + 1 :]
    )


def _explains(order: tuple[Operation, ...]) -> bool:
    state = None
    for operation in order:
        known = operation.returned is not None
        if operation.kind == "get":
            if known and operation.value != state:
                return False
        elif operation.kind == "put":
            state = operation.value
        else:
            fits = state == operation.expected
            if known and fits != operation.done:
                return False
            state = operation.value if fits else state
    return True


values = st.sampled_from([None, "a", "b", "c"])


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    """Any few operations, right or wrong; values may be written twice."""
    found = []
    for client in range(draw(st.integers(1, 5))):
        begin = draw(st.integers(0, 6))
        end = draw(st.one_of(st.none(), st.integers(begin, 8)))
        kind = draw(st.sampled_from(["get", "put", "cas"]))
        found.append(
            Operation(client, "k", kind, begin, end, draw(values), draw(values), draw(st.booleans()))
        )
    return found


@settings(max_examples=200, deadline=None)
@given(histories())
def test_the_verdict_is_that_of_trying_all_orders(history: list[Operation]) -> None:
    assert check(history).linearizable is right_by_all_orders(history)


@settings(max_examples=80, deadline=None)
@given(histories())
def test_what_is_named_is_wrong_by_itself(history: list[Operation]) -> None:
    verdict = check(history)
    assert verdict.linearizable or not right_by_all_orders(list(verdict.failing))


def played(random: Random, operations: int, clients: int, keys: int, unanswered: float) -> list[Operation]:
    """What clients of a right store see: each operation happens at one moment between its call and its answer.

    Of those without an answer, half happen: at any later moment, also long after.
    """
    pending: list[tuple[float, Operation]] = []
    free = dict.fromkeys(range(clients), 0.0)
    for count in range(operations):
        client = min(free, key=lambda c: free[c])
        called = free[client] + random.random()
        moment = called + random.random()
        returned: float | None = moment + random.random()
        free[client] = returned or 0.0
        key, value = f"k{random.randrange(keys)}", f"{client}-{count}"
        kind = random.choice(["get", "get", "put", "cas"])
        if random.random() < unanswered:
            returned = None
            moment += random.choice([0, 1, 50]) if random.random() < 0.5 else 1e9
        pending.append((moment, Operation(client, key, kind, called, returned, value)))
    state: dict[str, str | None] = {}
    history = []
    for _, operation in sorted(pending, key=lambda item: item[0]):
        here = state.get(operation.key)
        if operation.kind == "get":
            history.append(replace(operation, value=here))
            continue
        if operation.kind == "cas":
            expected = here if random.random() < 0.7 else "other"
            operation = replace(operation, expected=expected, done=expected == here)
        history.append(operation)
        if operation.kind == "put" or operation.done:
            state[operation.key] = operation.value
    return history


@pytest.mark.parametrize("seed", range(8))
def test_what_a_right_store_did_is_right_and_one_stale_read_in_it_is_found(seed: int) -> None:
    random = Random(seed)
    history = played(random, 300, 5, 3, 0.05)
    assert check(history).linearizable
    reads = [
        at for at, o in enumerate(history) if o.kind == "get" and o.returned is not None and o.called > 50
    ]
    at = random.choice(reads)
    read = history[at]
    writes = sorted(
        (
            o
            for o in history
            if o.key == read.key and o.kind == "put" and o.returned and o.returned < read.called
        ),
        key=lambda o: o.called,
    )
    history[at] = replace(read, value=writes[0].value)  # the first there ever was, long overwritten
    verdict = check(history)
    assert not verdict.linearizable
    assert read.client in [o.client for o in verdict.failing]
    assert len(verdict.failing) < 60  # swaps hang together in a chain; of about 100 on the key


@pytest.mark.parametrize("unanswered", [0.0, 0.02, 0.1])
def test_ten_thousand_operations_by_five_clients_are_checked_in_time(unanswered: float) -> None:
    history = played(Random(7), 10_000, 5, 5, unanswered)
    began = time.process_time()
    verdict = check(history)
    took = time.process_time() - began
    assert verdict.linearizable
    print(f"{unanswered}: {took:.2f} s of CPU, {verdict.explored} places")
    assert took < 20


def test_a_search_that_becomes_too_long_says_so() -> None:
    with pytest.raises(Undecided, match="more than 50 tries"):
        check(played(Random(1), 300, 5, 1, 0.0), steps=50)
