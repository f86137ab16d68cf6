from __future__ import annotations

from labsupport.course.turns import in_turn


def test_actions_take_turns_and_the_first_round_is_not_counted() -> None:
    done: list[str] = []
    took = in_turn({"a": lambda: done.append("a"), "b": lambda: done.append("b")}, rounds=3)
    assert done == ["a", "b"] * 4
    assert [len(values) for values in took.values()] == [3, 3]
    assert all(value >= 0 for values in took.values() for value in values)
