"""The verdict's three forms say the same, and nobody needs colours or pictures to read it."""

from __future__ import annotations

import dataclasses
import json

import pytest

from labsupport.course.verdict import WORDS, Verdict

FAILED = Verdict(
    "00-x",
    "not_yet",
    "a <b>",
    "saw `c`",
    "Service d",
    "00-x/wrong",
    look="there",
    seconds=1.26,
    advice="hint",
)


def test_text_and_html_hold_every_field() -> None:
    for form in (str(FAILED), FAILED.html()):
        for part in ("Not yet", "00-x/wrong", "Service d", "there", "1.3 s", "hint"):
            assert part in form
    assert "a &lt;b&gt;" in FAILED.html()
    assert "<code" in FAILED.html()
    assert 'role="status"' in FAILED.html()


def test_the_dictionary_is_json_and_holds_the_record() -> None:
    data = json.loads(json.dumps(FAILED.as_dict()))
    assert set(data) == {field.name for field in dataclasses.fields(Verdict)}
    assert data["verdict"] == "not_yet"


@pytest.mark.parametrize("kind", list(WORDS))
def test_no_verdict_uses_signs_beyond_letters(kind: str) -> None:
    text = str(dataclasses.replace(FAILED, verdict=kind))
    assert text.isascii()
    assert text.startswith(WORDS[kind])  # type: ignore[index]


def test_only_a_pass_is_true() -> None:
    assert not FAILED
    assert not dataclasses.replace(FAILED, verdict="could_not_check")
    assert dataclasses.replace(FAILED, verdict="pass")


def test_it_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FAILED.verdict = "pass"  # type: ignore[misc]
