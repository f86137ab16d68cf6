"""The proof that the exercises are honest: the shipped state is not solved, solutions pass, wrong answers do not.

What lab.toml says of each answer is compared with what becomes of it (judging.py), on the real cluster, or without one
as far as that goes. With mutants, each small change of a solution must be rejected too, or be listed as equivalent.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from labsupport.course.authoring import shipped_of, solution_lines, solution_of, telling_lines
from labsupport.course.manifest import SOURCE, Exercise, Lab, labs
from labsupport.course.proofs import mutants
from labsupport.course.proofs.judging import Answer, Judge, Judged, execute
from labsupport.paths import REPOSITORY

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

__all__ = ["ExerciseResult", "Mutants", "WrongResult", "choose", "execute", "leaks", "prove", "table"]

ACCEPTED = ("pass", "passes-offline")  # the second where there was no cluster to ask
SAMPLE = 10  # of the exercises of unchanged labs, one in this many is proven
Progress = Callable[[str], None]


@dataclass(frozen=True)
class WrongResult:
    """What became of one wrong answer."""

    name: str
    kind: str
    verdict: str
    diagnostic: str
    expected: str
    observed: str

    @property
    def ok(self) -> bool:
        """Whether it was rejected for the right reason, or would have to be looked at on a cluster."""
        return self.verdict == "undecided" or (self.verdict == "not_yet" and self.diagnostic == self.expected)


@dataclass(frozen=True)
class Mutants:
    """How many mutants were made, rejected (so many of them without the cluster), listed as equivalent, and left
    undecided for want of a cluster; and what is wrong: those that passed, with their diffs.
    """

    made: int = 0
    rejected: int = 0
    offline: int = 0
    equivalent: int = 0
    undecided: int = 0
    survivors: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True)
class ExerciseResult:
    """What was proven of one exercise; seconds are those of its slowest check. `faults` say what must not be."""

    id: str
    form: str
    shipped: str
    solution: str
    second: tuple[str, ...]
    seconds_offline: float | None
    seconds_live: float | None
    wrong: tuple[WrongResult, ...]
    mutants: Mutants | None = None
    faults: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything was as lab.toml says."""
        return not self.faults

    def as_dict(self) -> dict[str, Any]:
        """The JSON form (`labs content --json`)."""
        return asdict(self)


def prove(
    api: ApiClient | None,
    chosen: Iterable[tuple[Lab, Exercise]] | None = None,
    *,
    mutate: bool = False,
    sample: int | None = None,
    progress: Progress = lambda text: None,
) -> Iterator[ExerciseResult]:
    """Prove the `chosen` exercises (default: all) on the cluster behind `api`, and reset their labs.

    Without `api`, prove what can be proven without a cluster and leave the other exercises out. `mutate` tries the
    mutants of each solution too: all, or `sample` of each exercise's, drawn by the commit.
    """
    for lab, exercise in every() if chosen is None else chosen:
        judge = Judge(api, lab, exercise, progress)
        if judge.possible:
            yield _prove(judge, _tried(lab, exercise, sample) if mutate else None)


Tried = list[tuple[mutants.Mutated, "Answer"]]


def _tried(lab: Lab, exercise: Exercise, sample: int | None) -> Tried:
    every_mutant = list(mutants_of(lab, exercise))
    if sample is None or sample >= len(every_mutant):
        return every_mutant
    return random.Random(f"{commit()} {exercise.id}").sample(every_mutant, sample)


def every(chosen: Iterable[Lab] | None = None) -> list[tuple[Lab, Exercise]]:
    """All exercises of the `chosen` labs (default: of all labs)."""
    return [(lab, each) for lab in (labs() if chosen is None else chosen) for each in lab.exercises]


def solutions(lab: Lab, exercise: Exercise) -> list[Answer]:
    """The reference solution and the second ones."""
    reference = Answer("reference solution", solution_of(lab, exercise.id), may_raise=False)
    return [reference, *(_kept(lab, f"solutions/{exercise.id}/{name}") for name in exercise.second)]


def _kept(lab: Lab, file: str, *, elsewhere: bool = False, may_raise: bool = False) -> Answer:
    text = (lab.directory / file).read_text(encoding="utf-8")
    return Answer(file.rpartition("/")[2], text, file.endswith(".yaml"), elsewhere, may_raise)


def _prove(judge: Judge, trying: Tried | None) -> ExerciseResult:
    lab, exercise = judge.lab, judge.exercise
    faults = [f"a hint says a line of the solution: {line}" for line in leaks(lab, exercise)]
    judged: list[Judged] = []

    def look(answer: Answer, *wanted: str) -> Judged:
        """Judge, and note whatever is not as it must be."""
        found = judge.judge(answer, twice=True, watched=True)
        judged.append(found)
        if found.verdict not in (*wanted, "undecided"):
            finding = f"{found.verdict} {found.diagnostic}".strip()
            faults.append(f"{answer.name}: {finding}, wanted {wanted[0]}. {found.observed}".strip())
        faults.extend(f"{answer.name}: {note}" for note in found.notes)
        return found

    shipped = look(Answer("as shipped", shipped_of(lab, exercise.id), may_raise=False), "not_yet")
    reference, *second = [look(answer, "pass") for answer in solutions(lab, exercise)]
    wrong = []
    for each in exercise.wrong:
        file = f"wrong/{exercise.id}/{each.file}"
        found = look(_kept(lab, file, elsewhere=each.elsewhere, may_raise=True), "not_yet")
        result = WrongResult(
            each.file, each.kind, found.verdict, found.diagnostic, each.diagnostic, found.observed
        )
        if found.verdict == "not_yet" and not result.ok:
            faults.append(f"{each.file}: {found.diagnostic}, wanted {each.diagnostic}. {found.observed}")
        wrong.append(result)
    tried = None if trying is None else _mutants(judge, trying)
    if tried:
        faults += [f"mutant {each['mutant']}: {each['verdict']}\n{each['diff']}" for each in tried.survivors]
    return ExerciseResult(
        exercise.id,
        exercise.form,
        _word(shipped),
        _word(reference),
        tuple(_word(each) for each in second),
        max((each.seconds_offline for each in judged if each.seconds_offline is not None), default=None),
        max((each.seconds_live for each in judged if each.seconds_live is not None), default=None),
        tuple(wrong),
        tried,
        tuple(faults),
    )


def _word(judged: Judged) -> str:
    return judged.diagnostic if judged.verdict == "undecided" else judged.verdict


def mutants_of(lab: Lab, exercise: Exercise) -> Iterator[tuple[mutants.Mutated, Answer]]:
    """The mutants of all solutions of an exercise. Those of a second solution are named after its file.

    Of a prediction, which passes whatever it was, only the committing can be dropped.
    """
    for answer in solutions(lab, exercise):
        own = answer.name == "reference solution"
        lines = solution_lines(lab, exercise.id) if own else None
        made = mutants.of_yaml(answer.text) if answer.yaml else mutants.of_python(answer.text, lines)
        for each in made:
            if exercise.form == "predict" and not each.name.endswith(" dropped"):
                continue
            name = each.name if own else f"{answer.name}: {each.name}"
            yield each, Answer(name, each.source, answer.yaml)


def _mutants(judge: Judge, tried: Tried) -> Mutants:
    made = rejected = offline = equivalent = undecided = 0
    survivors: list[dict[str, str]] = []
    listed = {each.mutant for each in judge.exercise.equivalent}
    for mutant, answer in tried:
        made += 1
        if answer.name in listed:
            equivalent += 1
            continue
        found = judge.judge(answer)
        if found.verdict == "not_yet":
            rejected += 1
            offline += found.seconds_live is None
        elif found.verdict == "undecided":
            undecided += 1
        else:
            survivors.append({"mutant": answer.name, "verdict": found.verdict, "diff": mutant.diff})
    survivors += [
        {"mutant": name, "verdict": "listed as equivalent, but not made", "diff": ""}
        for name in sorted(listed - {answer.name for _, answer in mutants_of(judge.lab, judge.exercise)})
    ]
    return Mutants(made, rejected, offline, equivalent, undecided, tuple(survivors))


def leaks(lab: Lab, exercise: Exercise) -> list[str]:
    """Lines of the solution that a hint of the exercise contains."""
    hints = [re.sub(r"\s+", " ", hint) for hint in exercise.hints]
    return [line for line in telling_lines(lab, exercise) if any(line in hint for hint in hints)]


# --- what to prove


def choose(seed: str = "") -> list[tuple[Lab, Exercise]]:
    """The exercises of changed labs and a tenth of the others, drawn by `seed` (default: the commit)."""
    changed = changed_labs()
    seed = seed or commit()
    rest = every(lab for lab in labs() if lab.id not in changed)
    drawn = random.Random(seed).sample(rest, -(-len(rest) // SAMPLE))
    return [pair for pair in every() if pair[0].id in changed or pair in drawn]


def commit() -> str:
    """The commit that is checked out, or "0" where git cannot tell."""
    return _git("rev-parse", "HEAD") or "0"


def changed_labs() -> set[str]:
    """The ids of labs whose sources differ from the main line, or from the commit before on the main line itself.

    Where git cannot tell (no repository, a clone without history), all of them.
    """
    head = _git("rev-parse", "HEAD")
    lines = ("@{upstream}", "origin/HEAD", "origin/main", "origin/master")
    bases = (_git("merge-base", "HEAD", line) for line in lines)
    base = next((base for base in bases if base and base != head), "") or _git(
        "rev-parse", "--verify", "HEAD~1"
    )
    if not base:
        return {lab.id for lab in labs()}
    # Against the working tree, so that what an author has not yet committed counts.
    files = _git("diff", "--name-only", base, "--", str(SOURCE)).splitlines()
    files += _git("ls-files", "--others", "--exclude-standard", "--", str(SOURCE)).splitlines()
    directories = {(REPOSITORY / file).relative_to(SOURCE).parts[0] for file in files}
    return {lab.id for lab in labs() if lab.directory.name in directories}


def _git(*arguments: str) -> str:
    """What git says, or "" where it fails."""
    try:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


# --- for people


def table(results: Iterable[ExerciseResult]) -> str:
    """The exercises table, with the sums below it."""
    results = list(results)
    lines = [
        f"{'EXERCISE':26}  {'FORM':7}  {'SHIPPED':17}  {'SOLUTION':17}  SECOND  WRONG  MUTANTS        OFFLINE    LIVE"
    ]
    for each in results:
        second = (
            f"{sum(verdict in ACCEPTED for verdict in each.second)}/{len(each.second)}"
            if each.second
            else "-"
        )
        wrong = f"{sum(answer.ok for answer in each.wrong)}/{len(each.wrong)}" if each.wrong else "-"
        row = f"{each.id:26}  {each.form:7}  {each.shipped:17}  {each.solution:17}  {second:>6}  {wrong:>5}"
        offline, live = _seconds(each.seconds_offline), _seconds(each.seconds_live)
        lines.append(f"{row}  {_mutation(each.mutants):13}  {offline:>7}  {live:>6}")
    solved = [verdict for each in results for verdict in (each.solution, *each.second)]
    accepted = [verdict for verdict in solved if verdict in ACCEPTED]
    wrongs = [wrong for each in results for wrong in each.wrong if wrong.verdict != "undecided"]
    rejected = sum(wrong.verdict == "not_yet" for wrong in wrongs)
    expected = sum(wrong.ok for wrong in wrongs)
    lines.append(
        f"\n{len(accepted)} of {len(solved)} solutions accepted; {rejected} of {len(wrongs)} wrong answers "
        f"rejected, {expected} of them with the diagnostic expected."
    )
    if tried := [each.mutants for each in results if each.mutants]:
        lines.append(
            f"{sum(each.made for each in tried)} mutants: {sum(each.rejected for each in tried)} rejected "
            f"({sum(each.offline for each in tried)} without the cluster), "
            f"{sum(each.equivalent for each in tried)} equivalent, {sum(each.undecided for each in tried)} undecided, "
            f"{sum(len(each.survivors) for each in tried)} faults."
        )
    lines += [f"\n{each.id}: {fault}" for each in results for fault in each.faults]
    return "\n".join(lines)


def _mutation(tried: Mutants | None) -> str:
    if tried is None:
        return "-"
    text = f"{tried.rejected}/{tried.made}"
    return text + (f" ({tried.equivalent} equiv.)" if tried.equivalent else "")


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
