"""A controller's work in columns: nothing of it is lost, and the words say what the picture says."""

from __future__ import annotations

from xml.etree import ElementTree

from labsupport.draw.steps import MOST, Step, steps

RUNS = [
    Step(0.0, ("added meadow",), 0.0004, 0.02, 1, 3),
    Step(0.05, tuple(f"added meadow-{number}" for number in range(9)), 0.012, 0.004, 1, 0),
    Step(0.2, (), 0.0, 0.001, 1, 0, "ApiException"),
]


def test_picture_and_words_say_the_same() -> None:
    picture = steps(RUNS, title="A day")
    shown = "".join(ElementTree.fromstring(picture.svg).itertext())
    assert "A day: 10 events, 3 runs, 3 writes" in picture.text
    for words in ("3 writes", "nothing to do", "raised ApiException", f"and {9 - MOST} more"):
        assert words in shown
    assert "meadow-8" in picture.text
    assert "tried again" in picture.text


def test_many_runs_take_several_rows() -> None:
    one, many = (ElementTree.fromstring(steps(RUNS[:1] * count, title="A day").svg) for count in (1, 12))
    assert int(many.attrib["viewBox"].split()[3]) > 2 * int(one.attrib["viewBox"].split()[3])


def test_nothing_is_no_error() -> None:
    assert "nothing happened" in str(steps([], title="A day"))
