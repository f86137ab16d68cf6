"""The proof finds what an author can get wrong: the outline of `labs new`, changed in one place each time."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from labsupport.course.manifest import Lab, read
from labsupport.course.proofs import content
from labsupport.course.proofs.content import ExerciseResult
from labsupport.course.proofs.judging import Answer, Judge
from labsupport.course.scaffold import scaffold

Prove = Callable[..., ExerciseResult]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # Checks are loaded once for each id, so each test has an id of its own.
    number = 1000 + list(request.session.items).index(request.node)
    scaffold(f"o{number}", "Outline", tmp_path)
    return tmp_path / f"o{number}-outline"


@pytest.fixture
def prove(directory: Path) -> Prove:
    def run(*, mutate: bool = False) -> ExerciseResult:
        lab = read(directory)
        (result,) = content.prove(None, [(lab, lab.exercises[1])], mutate=mutate)
        return result

    return run


def change(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def wrong(directory: Path, name: str) -> Path:
    (path,) = directory.glob(f"wrong/*/{name}")
    return path


def test_the_outline_is_honest(prove: Prove) -> None:
    result = prove()
    assert result.faults == ()
    assert (result.shipped, result.solution, result.second) == (
        "not_yet",
        "passes-offline",
        ("passes-offline",),
    )
    assert result.seconds_offline
    assert result.seconds_live is None


def test_a_wrong_answer_that_passes_offline_is_left_to_the_cluster(directory: Path, prove: Prove) -> None:
    wrong(directory, "unsorted.py").write_text("def unwanted(a, b): return sorted(set(a) - set(b))\n")
    result = prove()
    assert [each.verdict for each in result.wrong] == ["undecided", "not_yet", "not_yet", "not_yet"]
    assert result.faults == ()


def test_another_diagnostic_than_expected_is_a_fault(directory: Path, prove: Prove) -> None:
    wrong(directory, "unsorted.py").write_text("def unwanted(a, b): return []\n")
    (fault,) = prove().faults
    assert fault.startswith("unsorted.py:")
    assert "/kept, wanted" in fault


def test_a_solution_that_is_not_accepted_is_a_fault(directory: Path, prove: Prove) -> None:
    (second,) = directory.glob("solutions/*/sets.py")
    second.write_text("def unwanted(a, b): return list(a)\n")
    result = prove()
    assert result.second == ("not_yet",)
    assert result.faults[0].startswith("sets.py: not_yet")


def test_a_shipped_cell_that_raises_is_a_fault(directory: Path, prove: Prove) -> None:
    path = directory / "lab.py"
    path.write_text(
        path.read_text().replace("def unwanted(found", "unwanted = 1 // 0\n\n\ndef unwanted(found")
    )
    result = prove()
    assert result.shipped == "raised"
    assert result.faults[0].startswith("as shipped: raised ZeroDivisionError, wanted not_yet")


def test_a_shipped_state_that_passes_offline_is_shown_as_such(directory: Path, prove: Prove) -> None:
    change(directory / "lab.py", "return ...  # YOUR CODE HERE", "return sorted(set(found) - set(wanted))")
    result = prove()
    assert result.shipped == "passes-offline"


def test_a_hint_that_gives_the_answer_away_is_a_fault(directory: Path, prove: Prove) -> None:
    line = "return sorted(name for name in found if name not in wanted)"
    change(directory / "lab.toml", "Python's sorted takes", f"{line} takes")
    assert prove().faults == (f"a hint says a line of the solution: {line}",)


def test_a_diagnostic_that_gives_the_answer_away_is_a_fault(directory: Path, prove: Prove) -> None:
    line = "return sorted(name for name in found if name not in wanted)"
    change(directory / "checks.py", "Go through the function with that input by hand.", line)
    assert any("says a line of the solution" in fault for fault in prove().faults)


def test_a_check_that_changes_its_mind_is_a_fault(directory: Path, prove: Prove) -> None:
    change(directory / "checks.py", "NAMES = (", "TURNS = [0]\nNAMES = (")
    change(
        directory / "checks.py",
        "    generator = random.Random(0)\n",
        "    TURNS[0] += 1\n    if TURNS[0] % 2:\n        return passed('once', 'x')\n"
        "    generator = random.Random(0)\n",
    )
    assert any("twice in a row" in fault for fault in prove().faults)


def test_a_mutant_that_passes_is_shown_with_its_difference_unless_it_is_listed(
    directory: Path, prove: Prove
) -> None:
    change(
        directory / "lab.py",
        "    return sorted(name",
        "    limit = 3\n    return sorted(name",
    )
    result = prove(mutate=True)
    assert result.mutants
    # It passes as far as can be told without a cluster.
    assert result.mutants.undecided == 2
    names = ["unwanted: limit = 3 dropped", "unwanted: 3 -> 4"]
    rows = ", ".join(f'{{ mutant = "{name}", reason = "limit is not used" }}' for name in names)
    change(directory / "lab.toml", 'second = ["sets.py"]', f'second = ["sets.py"]\nequivalent = [{rows}]')
    result = prove(mutate=True)
    assert result.mutants
    assert (result.mutants.equivalent, result.mutants.undecided) == (2, 0)
    assert result.mutants.made == result.mutants.rejected + 2
    assert result.faults == ()


def test_a_listed_mutant_that_is_not_made_is_a_fault(directory: Path, prove: Prove) -> None:
    row = 'equivalent = [{ mutant = "gone", reason = "r" }]'
    change(directory / "lab.toml", 'second = ["sets.py"]', f'second = ["sets.py"]\n{row}')
    assert prove().faults == ()
    assert prove(mutate=True).faults == ("mutant gone: listed as equivalent, but not made\n",)


def test_an_endless_answer_is_ended(directory: Path) -> None:
    lab = read(directory)
    judge = Judge(None, lab, lab.exercises[1])
    found = judge.judge(Answer("endless", "def unwanted(a, b):\n    while True: pass\n"))
    assert (found.verdict, found.diagnostic, found.notes) == ("not_yet", "endless", ())


def test_exercises_without_an_offline_check_are_left_out_without_a_cluster(directory: Path) -> None:
    lab = read(directory)
    assert [result.form for result in content.prove(None, content.every([lab]))] == ["code"]


def test_the_table_counts_what_was_proven(prove: Prove) -> None:
    text = content.table([prove(mutate=True)])
    assert "2 of 2 solutions accepted; 4 of 4 wrong answers rejected, 4 of them with the diagnostic" in text
    assert "mutants:" in text


@pytest.fixture
def labs_by_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Lab]:
    """Twelve labs with an exercise each, in a repository of the test's own."""
    source = tmp_path / "labs" / "source"
    for number in range(12):
        scaffold(f"o{900 + number}", "Outline", source)
    made = [read(path) for path in sorted(source.iterdir())]
    monkeypatch.setattr(content, "labs", lambda: made)
    monkeypatch.setattr(content, "SOURCE", source)
    monkeypatch.setattr(content, "REPOSITORY", tmp_path)
    return made


def git(directory: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True)


def test_without_a_history_all_labs_have_changed(labs_by_id: list[Lab], tmp_path: Path) -> None:
    assert content.changed_labs() == {lab.id for lab in labs_by_id}


def test_changed_labs_are_chosen_and_a_tenth_of_the_rest(labs_by_id: list[Lab], tmp_path: Path) -> None:
    git(tmp_path, "init", "-b", "main")
    for message in ("one", "two"):
        (tmp_path / "file").write_text(message)
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-m", message)
    assert content.changed_labs() == set()
    change(labs_by_id[3].directory / "checks.py", "ROUNDS = 30", "ROUNDS = 31")
    assert content.changed_labs() == {"o903"}
    git(tmp_path, "commit", "-am", "three")
    assert content.changed_labs() == {"o903"}
    chosen = content.choose("seed")
    assert [exercise.id for lab, exercise in chosen if lab.id == "o903"] == ["o903-reply", "o903-unwanted"]
    assert len(chosen) == 2 + 3  # of the other 22 exercises a tenth, rounded up
    assert content.choose("seed") == chosen
    assert any(content.choose(str(seed)) != chosen for seed in range(5))
    git(tmp_path, "checkout", "-b", "branch")
    (tmp_path / "file").write_text("more")
    git(tmp_path, "commit", "-am", "four")
    git(tmp_path, "remote", "add", "origin", str(tmp_path))
    git(tmp_path, "fetch", "origin")
    change(labs_by_id[5].directory / "checks.py", "ROUNDS = 30", "ROUNDS = 31")
    assert content.changed_labs() == {"o905"}  # against the main line, where o903 is known
