"""The overview of progress: the forms say the same, in words, and the panel follows the record."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from labsupport.course import ladder
from labsupport.course.manifest import Exercise, Lab
from labsupport.course.panels import widgets
from labsupport.course.panels.overview import duration, overview
from labsupport.course.panels.progress_panel import ProgressPanel
from labsupport.course.progress import Progress
from labsupport.course.verdict import Verdict


def lab(identifier: str, *minutes: float) -> Lab:
    exercises = [
        Exercise(
            id=f"{identifier}-{number}",
            title=f"Title <{number}>",
            form="predict",
            minutes=each,
            expected="x",
            hints=("a", "b", "c"),
            explanation="because",
        )
        for number, each in enumerate(minutes, 1)
    ]
    return Lab(id=identifier, title="Lab & co", notebook="x", minutes=40, exercises=tuple(exercises))


LABS = (lab("za", 5, 15), lab("zb", 10))


@pytest.fixture
def store(tmp_path: Path) -> Progress:
    store = Progress(tmp_path / "progress.sqlite")
    store.add(Verdict("za-1", "not_yet", "", "", "", "d"))
    store.take_hint("za-1", 3)
    store.add(Verdict("za-1", "pass", "", "", "", "ok"))
    store.add(Verdict("za-2", "pass", "", "", "", "ok"))
    store.add(Verdict("za-2", "not_yet", "", "", "", "d"))
    return store


def test_the_estimate_is_the_share_of_what_is_open(store: Progress) -> None:
    now = overview(LABS, store)
    assert [each.minutes_left for each in now.labs] == [45, 50]
    assert now.words == "1 of 3 exercises solved, about 1 h 35 min left"


def test_text_html_and_data_say_the_same(store: Progress) -> None:
    now = overview(LABS, store)
    page = html.unescape(re.sub(r"</t[dh]>|<br>", "  ", now.html()))
    plain = re.sub(r"<(?!\d)[^>]*>", "", page)
    for line in str(now).splitlines()[1:]:
        for part in re.split(r"\s{2,}", re.sub(r"^\[.*?\] ", "", line.strip())):
            assert part in plain, part
    data = json.loads(json.dumps(now.as_dict()))
    assert [each["state"] for each in data["exercises"]] == ["pass", "open again", "not started"]
    assert [each["solved"] for each in data["labs"]] == [1, 0]
    assert "Open again" in str(now)
    assert str(now).isascii()


def test_only_a_lab_in_work_is_unfolded(store: Progress) -> None:
    assert overview(LABS, store).html().count("<details open") == 1
    store.add(Verdict("za-2", "pass", "", "", "", "ok"))
    assert "<details open" not in overview(LABS, store).html()


def test_trouble_with_the_record_is_told(tmp_path: Path) -> None:
    now = overview(LABS, Progress(tmp_path / "missing" / "x.sqlite"))
    assert "could not be saved" in str(now)
    assert "could not be saved" in now.html()


def test_the_panel_follows_the_record(store: Progress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widgets, "REST", 0.0)
    panel = ProgressPanel(lambda: overview(LABS, store))
    place, row = panel.panel().children
    assert "1 of 3 exercises solved" in place.value
    ladder.recorded(Verdict("zb-1", "pass", "", "", "", "ok"), store)
    panel.refresh()
    assert "2 of 3 exercises solved" in place.value
    ladder.recorded(Verdict("za-2", "pass", "", "", "", "ok"), store)
    row.children[0].click()
    assert "3 of 3 exercises solved" in place.value
    bundle = panel._repr_mimebundle_()
    assert bundle["text/plain"] == str(panel)
    assert "application/vnd.jupyter.widget-view+json" in bundle


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "less than 1 min"), (61, "1 min"), (3600, "60 min"), (7200, "2 h"), (6000, "1 h 40 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
