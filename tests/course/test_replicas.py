"""Who acted when, from the records of replicas."""

from __future__ import annotations

from typing import Any

from labsupport.course.lessons.replicas import Term, acting, begun, returned, terms


class Operator:
    """What is deployed, with these records; like one that is not ready, it is false."""

    def __init__(self, *told: tuple[str, float, str]) -> None:
        self.told = told

    def __bool__(self) -> bool:
        return False

    def records(self) -> list[dict[str, Any]]:
        return [
            {"record": "handler", "by": by, "name": name, "began": at, "ended": at + 0.1, "at": at}
            for by, at, name in self.told
        ] + [
            {"record": "election", "what": "begins", "by": by}
            for by in dict.fromkeys(each[0] for each in self.told)
        ]


def found(*told: tuple[str, float, str]) -> Any:
    return Operator(*told)


def test_calls_without_another_ones_between_are_one_term() -> None:
    operator = found(("p_1", 5.0, "lea"), ("p_1", 4.0, "lea"), ("q_1", 6.0, "lea"), ("q_1", 9.0, "hill"))
    assert terms(operator, "lea") == [Term("p_1", 4.0, 5.1, 2), Term("q_1", 6.0, 6.1, 1)]
    assert [each.calls for each in terms(operator)] == [2, 2]
    assert returned(terms(operator)) == ""


def test_who_acts_again_after_another_one_is_named() -> None:
    operator = found(("p_1", 4.0, "lea"), ("q_1", 5.0, "lea"), ("p_1", 6.0, "lea"))
    assert returned(terms(operator)) == "p_1"


def test_a_term_of_before_is_none_of_after() -> None:
    operator = found(("p_1", 4.0, "lea"))
    assert acting(operator, "lea", seconds=0.0)
    assert acting(operator, "lea", unlike="q_1", since=3.0, seconds=0.0) == terms(operator)
    assert acting(None, "lea", seconds=0.0) == []


def test_a_pod_has_been_several_candidates() -> None:
    assert begun(found(("p_1", 4.0, "lea"), ("q_1", 5.0, "lea"), ("p_2", 6.0, "lea")), "p") == ["p_1", "p_2"]
