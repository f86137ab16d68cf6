"""A control plane's records as a story, and answers in a row."""

from __future__ import annotations

from labsupport.course.lessons import controlplane
from labsupport.course.lessons.controlplane import Answers
from labsupport.course.views import Table

TOLD = [
    {"what": "connected", "at": 10.0, "proxy": "p", "has": 0},
    {"what": "called", "at": 10.001, "because": ["Service web"], "ms": 1.0},
    {"what": "sent", "at": 10.002, "proxy": "p", "type": "routes", "resources": {"shop": "1a"}, "removed": ["old"],
     "bytes": 70},
    {"what": "answered", "at": 10.0041, "proxy": "p", "type": "routes", "ack": False, "message": "missing )"},
]  # fmt: skip


def test_a_story_tells_who_said_what_and_when() -> None:
    story = controlplane.story(TOLD)
    assert isinstance(story, Table)
    assert list(story.rows) == [
        ("0", "hears from a proxy", "", "p"),
        ("1", "calls your function", "Service web", ""),
        ("2", "sends routes", "shop, old (gone); 70 bytes", "p"),
        ("4", "hears NACK of routes", "missing )", "p"),
    ]


def test_a_first_talk_ends_with_a_pause_after_an_answer() -> None:
    later = {**TOLD[2], "at": 10.3}
    assert controlplane.opening([*TOLD, later]) == TOLD
    assert controlplane.opening([*TOLD[:3], later]) == [*TOLD[:3], later]


def test_what_was_sent_is_listed_by_type_and_name() -> None:
    assert controlplane.sent(TOLD) == [("routes", "shop"), ("routes", "old")]
    assert controlplane.sent(TOLD, proxy="another") == []


def test_answers_of_one_kind_in_a_row_are_one_run() -> None:
    answers = Answers(
        "web/", [(0.1, 200, "version 2"), (0.2, 503, "the proxy itself"), (0.3, 503, "the proxy itself")]
    )
    assert answers.failed == 2
    assert answers.runs() == [(0.1, 0.1, 200, "version 2", 1), (0.2, 0.3, 503, "the proxy itself", 2)]
    assert "3 requests for web/, 2 of them failed" in str(answers)
