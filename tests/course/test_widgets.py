"""The panels without a browser: their buttons do what they say, say what went wrong, and all has a text form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from labsupport.course.ladder import Hint
from labsupport.course.panels import widgets
from labsupport.course.panels.check_panel import Checked
from labsupport.course.verdict import Verdict
from labsupport.course.views import Note, Table
from labsupport.course.voice import Say

NOT_YET = Verdict("00-x", "not_yet", "e", "o", "d", "00-x/w")
PASS = Verdict("00-x", "pass", "e", "o", "d", "ok")


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widgets, "REST", 0.0)


def checked(
    *,
    check: Callable[[Say], Verdict] = lambda say: PASS,
    hint: Callable[[], Hint] = lambda: Hint(1, 3, Note("look there")),
    solution: Callable[[], Note] = lambda: Note("so", code="x = <1>"),
) -> Checked:
    return Checked(NOT_YET, check=check, hint=hint, solution=solution, resume='lab.resume("00")')


def parts(panel: Any) -> dict[str, Any]:
    result, asked, row, restart = panel.children
    again, hint, solution = row.children
    names = {"result": result, "asked": asked, "again": again, "hint": hint, "solution": solution}
    return names | {"restart": restart}


def test_the_button_checks_again_and_shows_the_new_verdict() -> None:
    panel = checked()
    part = parts(panel.panel())
    assert part["result"].value == NOT_YET.html()
    part["again"].click()
    assert part["result"].value == PASS.html()
    assert panel
    assert str(panel).startswith("Pass")
    assert not part["again"].disabled


def test_it_shows_what_a_check_waits_for() -> None:
    seen: list[str] = []

    def check(say: Say) -> Verdict:
        seen.append(part["result"].value)
        assert part["again"].disabled
        return PASS

    part = parts(checked(check=check).panel())
    part["again"].click()
    assert "Checking 00-x ..." in seen[0]
    assert 'role="status"' in seen[0]


def test_hints_come_one_at_a_time() -> None:
    level = 0

    def hint() -> Hint:
        nonlocal level
        level += 1
        return Hint(level, 3, Note(f"up to {level}"))

    part = parts(checked(hint=hint).panel())
    labels = []
    for _ in range(3):
        part["hint"].click()
        labels.append(part["hint"].description)
    assert "up to 3" in part["asked"].value
    assert labels == ["Next hint", "Next hint", "Hints"]


def test_a_double_click_takes_one_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widgets, "REST", 60.0)
    taken: list[int] = []

    def hint() -> Hint:
        taken.append(1)
        return Hint(1, 3, Note(""))

    part = parts(checked(hint=hint).panel())
    part["hint"].click()
    part["hint"].click()
    assert len(taken) == 1


def test_the_solution_button_shows_the_solution_escaped() -> None:
    part = parts(checked().panel())
    part["solution"].click()
    assert "x = &lt;1&gt;" in part["asked"].value


@pytest.mark.parametrize("error", [RuntimeError("no <hint>"), KeyboardInterrupt()])
def test_an_error_behind_a_button_is_shown(error: BaseException) -> None:
    def broken(*_: Any) -> Any:
        raise error

    part = parts(checked(hint=broken, check=broken, solution=broken).panel())
    for name, place in (("hint", "asked"), ("solution", "asked"), ("again", "result")):
        part[name].click()
        assert ("no &lt;hint&gt;" in part[place].value) or ("interrupted" in part[place].value)
        assert not part[name].disabled


def test_it_says_what_to_run_after_a_restart() -> None:
    assert "lab.resume(&quot;00&quot;)" in parts(checked().panel())["restart"].value


def test_it_is_text_where_there_are_no_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = checked()._repr_mimebundle_()
    assert bundle["text/plain"].startswith(str(NOT_YET))
    assert 'lab.hint("00-x")' in bundle["text/plain"]
    assert bundle["text/html"] == NOT_YET.html()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    monkeypatch.setitem(__import__("sys").modules, "ipywidgets", None)  # as where it is not installed
    assert set(checked()._repr_mimebundle_()) == {"text/plain", "text/html"}


def test_a_table_has_headers_and_the_same_in_text() -> None:
    table = Table("T", ("A", "Bee"), [("x", "<y>")])
    assert str(table).splitlines() == ["T", "A  Bee", "x  <y>"]
    assert '<th scope="col"' in table._repr_html_()
    assert "&lt;y&gt;" in table._repr_html_()
