"""Things timed in turn, so that whatever else the machine does hits all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any


def in_turn(actions: Mapping[str, Callable[[], Any]], *, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each action, `rounds` times: first all once, then all again.

    One round before that is not counted: in it connections are opened and caches filled. What an action raises is
    raised.
    """
    took: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(rounds + 1):
        for name, action in actions.items():
            began = time.perf_counter()
            action()
            if number:
                took[name].append((time.perf_counter() - began) * 1000)
    return took
