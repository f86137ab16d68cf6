from __future__ import annotations

import re
import tomllib

import pytest

from labsupport.cluster.conformance import selection, suite
from labsupport.errors import LabsError


def test_without_a_choice_all_tests_tagged_conformance_are_run() -> None:
    assert selection.words((), None) == ["--label-filter=Conformance"]


def test_sigs_and_focus_narrow_it() -> None:
    words = selection.words(("node", "sig-apps", "node"), r"\[sig-apps\] Job")
    assert words == [
        "--label-filter=Conformance && (sig-node || sig-apps)",
        r"--focus=\[sig-apps\] Job",
    ]


@pytest.mark.parametrize(
    ("sigs", "focus", "message"),
    [(("nodes",), None, "no group of tests nodes"), ((), "(", "no regular expression")],
)
def test_a_choice_that_cannot_be_is_refused(sigs: tuple[str, ...], focus: str | None, message: str) -> None:
    with pytest.raises(LabsError, match=message):
        selection.words(sigs, focus)


def test_quick_is_a_selection_of_its_own() -> None:
    settings = selection.load()
    assert len(selection.words((), None, settings.quick)) == 1 + len(settings.quick)
    for expression in settings.quick:
        re.compile(expression)
    with pytest.raises(LabsError, match="selection of its own"):
        selection.words((), "Pods", settings.quick)


def test_every_registry_but_those_that_must_not_answer_is_ours() -> None:
    repositories = selection.load().repositories()
    assert "promoterE2eRegistry: labs.example/e2e\n" in repositories
    assert "invalidRegistry" not in repositories
    assert "privateRegistry" not in repositories


def test_words_for_the_suite_come_after_those_for_ginkgo() -> None:
    words = suite.arguments(["--focus=x"], 6, 90, 3)
    split = words.index("--")
    assert "--procs=6" in words[:split]
    assert "--focus=x" in words[:split]
    assert words[split - 1].endswith("/e2e.test")
    assert any(word.startswith("--kubeconfig=") for word in words[split:])
    assert "--num-nodes=3" in words[split:]


def test_a_wrong_file_is_named() -> None:
    text = selection.FILE.read_text()
    assert tomllib.loads(text)["quick"]
    wrong = selection.FILE.with_name("absent.toml")
    with pytest.raises(LabsError, match=r"absent\.toml"):
        selection.load(wrong)
