"""The load on a Quorum: what one writer says of what was confirmed."""

from __future__ import annotations

import threading
from typing import Any

from labsupport.quorum.client import Unavailable
from labsupport.quorum.load import Ledger


class Store:
    """Takes the writes whose numbers are not in `refused`, and says stop after the `last`."""

    def __init__(self, last: int, refused: frozenset[int] = frozenset()) -> None:
        self.count, self.last, self.refused, self.stop = 0, last, refused, threading.Event()
        if not last:
            self.stop.set()

    def put(self, key: str, value: bytes) -> None:
        self.count += 1
        if self.count >= self.last:
            self.stop.set()
        if self.count in self.refused:
            raise Unavailable(503, {})


def written(store: Any) -> Ledger:
    ledger = Ledger("p/", pause=0.0)
    ledger.write(store, 0, store.stop)
    return ledger


def test_one_write_is_made_even_if_it_is_over_before_it_began() -> None:
    assert written(Store(0)).confirmed == {"p/w/0/1": b"0 1"}


def test_only_what_was_confirmed_may_be_lost() -> None:
    ledger = written(Store(3, frozenset({2})))
    assert sorted(ledger.confirmed) == ["p/w/0/1", "p/w/0/3"]
    assert (ledger.refused, len(ledger.moments)) == (1, 2)
