"""Pictures as data: what they say in words, and that a mark stands where its time is."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from labsupport.draw.bars import Bar, bars
from labsupport.draw.timeline import WIDTH, Moment, axis, timeline

SVG = "{http://www.w3.org/2000/svg}"


def circles(svg: str) -> list[tuple[float, float]]:
    root = ElementTree.fromstring(svg)
    return [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in root.iter(f"{SVG}circle")]


def test_a_time_line_says_the_same_in_words() -> None:
    picture = timeline([Moment(0.5, "kubelet", "starts <it>"), Moment(0.0, "you", "ask")], title="T & t")
    assert picture.text.splitlines() == [
        "T & t",
        " 1   0.000 s  you: ask",
        " 2   0.500 s  kubelet: starts <it>",
    ]
    root = ElementTree.fromstring(picture.svg)
    assert root.attrib["role"] == "img"
    assert root.findtext(f"{SVG}title") == "T & t"
    assert "starts <it>" in str(root.findtext(f"{SVG}desc"))


def test_marks_stand_at_their_time_even_where_many_are_close() -> None:
    moments = [Moment(0.0, "a", "x"), Moment(0.001, "a", "y"), Moment(0.001, "b", "z"), Moment(1.0, "a", "w")]
    first, second, third, last = circles(timeline(moments, title="t").svg)
    assert second[0] == third[0]
    assert first[0] < second[0] < last[0]
    assert second[1] > first[1]  # a row of its own
    assert last[1] == first[1]


def test_no_two_marks_of_a_picture_hide_each_other() -> None:
    moments = [Moment(number * 0.003, "a", "x") for number in range(30)]
    places = circles(timeline(moments, title="t").svg)
    for number, (x, y) in enumerate(places):
        for other_x, other_y in places[number + 1 :]:
            assert abs(x - other_x) >= 17.9 or abs(y - other_y) >= 17.9
    assert all(x < WIDTH for x, _ in places)


def test_an_axis_has_round_steps_and_holds_the_last_moment() -> None:
    for last in (0.0, 0.0004, 0.017, 1.026, 5.9, 6.0, 61.0):
        step, end = axis(last)
        assert end >= last
        assert round(end / step) <= 6
        assert re.fullmatch(r"[125]e[+-]\d+", f"{step:.0e}")


def test_nothing_happened_is_said() -> None:
    assert timeline([], title="t").text == "t: nothing happened."


def test_bars_are_ordered_and_their_sum_is_told() -> None:
    picture = bars(
        [Bar("small", 1.0), Bar("unknown", None, "stopped"), Bar("large", 3.0, "running")],
        title="t",
        unit="MB",
    )
    assert picture.text.splitlines() == [
        "t: 4 MB together",
        "  large    3 MB  running",
        "  small    1 MB",
        "  unknown  unknown  stopped",
    ]
    ElementTree.fromstring(picture.svg)
