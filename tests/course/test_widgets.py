"""The check panel without a browser: its buttons do what they say, and say what went wrong."""

from __future__ import annotations

from typing import Any

from labsupport.course.verdict import Verdict
from labsupport.course.views import Note, Table
from labsupport.course.widgets import Checked

NOT_YET = Verdict("00-x", "not_yet", "e", "o", "d", "00-x/w")
PASS = Verdict("00-x", "pass", "e", "o", "d", "ok")


def parts(checked: Checked) -> tuple[Any, Any, Any, Any]:
    result, hints, row = checked.panel().children
    return result, hints, row.children[0], row.children[1]


def test_the_button_checks_again_and_shows_the_new_verdict() -> None:
    checked = Checked(NOT_YET, lambda: PASS, lambda: Note(""))
    result, _, check, _ = parts(checked)
    assert 'data-verdict="not_yet"' in result.value
    check.click()
    assert 'data-verdict="pass"' in result.value
    assert checked.verdict is PASS
    assert not check.disabled


def test_the_hint_button_shows_the_hint() -> None:
    _, hints, _, hint = parts(Checked(NOT_YET, lambda: PASS, lambda: Note("look there")))
    hint.click()
    assert "look there" in hints.value


def test_an_error_behind_a_button_is_shown() -> None:
    def broken() -> Note:
        raise RuntimeError("no <hint>")

    _, hints, _, hint = parts(Checked(NOT_YET, lambda: PASS, broken))
    hint.click()
    assert "no &lt;hint&gt;" in hints.value
    assert not hint.disabled


def test_it_is_text_where_there_are_no_widgets() -> None:
    bundle = Checked(NOT_YET, lambda: PASS, lambda: Note(""))._repr_mimebundle_()
    assert bundle["text/plain"] == str(NOT_YET)
    assert bundle["text/html"] == NOT_YET.html()
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_a_table_has_headers_and_the_same_in_text() -> None:
    table = Table("T", ("A", "Bee"), [("x", "<y>")])
    assert str(table).splitlines() == ["T", "A  Bee", "x  <y>"]
    assert '<th scope="col"' in table._repr_html_()
    assert "&lt;y&gt;" in table._repr_html_()
