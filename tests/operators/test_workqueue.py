"""The queue holds each name once, gives no name to two workers, and brings failures back."""

from __future__ import annotations

import threading
import time

from labsupport.operators.workqueue import FIRST_DELAY, WorkQueue


def test_events_that_come_while_a_name_waits_are_one_piece_of_work() -> None:
    queue = WorkQueue()
    assert [queue.add("meadow"), queue.add("meadow"), queue.add("hill"), queue.add("meadow")] == [
        True,
        False,
        True,
        False,
    ]
    first, second = queue.take(), queue.take()
    assert first is not None
    assert second is not None
    assert (first.name, first.events) == ("meadow", 3)
    assert (second.name, second.events) == ("hill", 1)


def test_a_name_that_is_added_while_it_is_worked_on_waits() -> None:
    queue = WorkQueue()
    queue.add("meadow")
    assert queue.take() is not None
    queue.add("meadow")
    queue.add("hill")
    second = queue.take()
    assert second is not None
    assert second.name == "hill"
    queue.done("meadow")
    third = queue.take()
    assert third is not None
    assert (third.name, third.events) == ("meadow", 1)


def test_a_failed_name_comes_back_later_each_time_later_still() -> None:
    queue = WorkQueue()
    queue.add("meadow")
    delays = []
    for _ in range(3):
        began = time.time()
        assert queue.take() is not None
        if delays:
            assert time.time() - began >= delays[-1] * 0.9
        delays.append(queue.done("meadow", failed=True))
    assert delays == [FIRST_DELAY, FIRST_DELAY * 2, FIRST_DELAY * 4]


def test_close_wakes_those_who_wait() -> None:
    queue, taken = WorkQueue(), []
    waiter = threading.Thread(target=lambda: taken.append(queue.take()))
    waiter.start()
    queue.close()
    waiter.join(timeout=5)
    assert taken == [None]
