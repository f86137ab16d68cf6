"""Rows of repeated measurements, in both forms."""

from __future__ import annotations

from xml.etree import ElementTree

from labsupport.draw.fanout import End, Stage, fanout
from labsupport.draw.strip import strip


def test_every_value_is_a_dot_and_the_median_is_in_words() -> None:
    shown = strip({"one": [1.0, 3.0, 2.0], "none": []}, title="Latency", unit="ms")
    assert shown.svg.count("<circle") == 3
    assert "median 2 (1 to 3), 3 times" in shown.text
    assert "not measured" in shown.text
    ElementTree.fromstring(shown.svg)


def test_a_fork_names_each_end_and_its_share() -> None:
    shown = fanout([Stage("a<b", "x")], [End("10.0.0.1:80", "web-1", 0.25)], title="Way")
    assert "25 % -> 10.0.0.1:80 (web-1)" in shown.text
    ElementTree.fromstring(shown.svg)
