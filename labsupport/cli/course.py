"""`labs notebook`, `start`, `check`, `hint`, `solution`, `progress`: the learner's abilities."""

from __future__ import annotations

import os
from pathlib import Path

import click

from labsupport.cli.options import emit, json_option, name_option


@click.command("notebook")
@click.argument("lab", default="00")
@click.option("--fresh", is_flag=True, help="A fresh copy beside the one you have.")
@click.option("--no-browser", is_flag=True, help="Print the address only.")
@name_option
@click.pass_context
def notebook_command(ctx: click.Context, lab: str, fresh: bool, no_browser: bool, name: str) -> None:
    """Open JupyterLab on your own copy of a lab (default: 00), with the cluster up.

    Your copies are in work/. They are made once and never overwritten. Ctrl-C ends JupyterLab, not the cluster.
    """
    from labsupport import cluster as clusters
    from labsupport.console import note
    from labsupport.course import jupyter
    from labsupport.course.manifest import find_lab
    from labsupport.course.notebook import WORK, open_copy

    found = find_lab(lab)  # before the cluster: a mistyped id should be told at once
    cluster = clusters.get(name)
    cluster.up()
    copy = open_copy(found, fresh=fresh)
    note(f"  {copy.message}")
    ctx.exit(jupyter.run(copy.path, WORK, cluster.kubeconfig, cluster=cluster.name, browser=not no_browser))


def use(name: str) -> None:
    """Let the course work on the cluster of that name."""
    from labsupport import cluster as clusters
    from labsupport.course.context import KUBECONFIG

    # In a terminal that JupyterLab opened, the notebook's cluster is meant; elsewhere the option.
    os.environ.setdefault(KUBECONFIG, str(clusters.get(name).kubeconfig))


@click.command("start")
@click.argument("lab")
@click.option("--at", "exercise", default="", metavar="EXERCISE", help="The start of this exercise.")
@name_option
@json_option
def start_command(lab: str, exercise: str, name: str, as_json: bool) -> None:
    """Bring a lab's namespace to its start; what was in it goes. Also the way to reset a lab."""
    from labsupport.course.context import Context

    use(name)
    context = Context(answers={})
    note = context.start(lab, exercise)
    data = {"lab": lab, "at": exercise, "namespace": context.namespace, "text": note.text}
    emit(data, as_json=as_json, human=str(note))


@click.command("check")
@click.argument("exercise")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A Python file with your answer: it is run as the exercise's cell would be, with `lab` defined.",
)
@name_option
@json_option
@click.pass_context
def check_command(ctx: click.Context, exercise: str, file: Path | None, name: str, as_json: bool) -> None:
    """Check an exercise on the cluster. Exit status 0 only for a pass.

    Where an exercise asks for a variable or a function, give the file that defines it.
    """
    from labsupport.course.answers import from_file
    from labsupport.course.context import Context

    use(name)
    context = from_file(file, exercise) if file else Context(answers={})
    verdict = context.verdict(exercise)
    emit(verdict.as_dict(), as_json=as_json, human=str(verdict))
    ctx.exit(0 if verdict else 1)


@click.command("hint")
@click.argument("exercise")
@json_option
def hint_command(exercise: str, as_json: bool) -> None:
    """The next hint for an exercise, and those before it."""
    from labsupport.course import ladder
    from labsupport.course.manifest import find_exercise
    from labsupport.course.progress import Progress

    hint = ladder.next_hint(*find_exercise(exercise), Progress())
    data = {
        "exercise": exercise,
        "level": hint.level,
        "highest": hint.highest,
        "title": hint.note.title,
        "text": hint.note.text,
    }
    emit(data, as_json=as_json, human=str(hint.note))


@click.command("solution")
@click.argument("exercise")
@json_option
@click.pass_context
def solution_command(ctx: click.Context, exercise: str, as_json: bool) -> None:
    """One way to solve an exercise and why; open after a pass or three failed checks.

    Exit status 0 only if it is open.
    """
    from labsupport.course import ladder
    from labsupport.course.manifest import find_exercise
    from labsupport.course.progress import Progress

    found = ladder.solution(*find_exercise(exercise), Progress())
    data = {
        "exercise": exercise,
        "open": found.open,
        "title": found.note.title,
        "text": found.note.text,
        "code": found.note.code,
    }
    emit(data, as_json=as_json, human=str(found.note))
    ctx.exit(0 if found.open else 1)


@click.command("predict", context_settings={"ignore_unknown_options": True})  # a value may be below zero
@click.argument("exercise")
@click.argument("value", required=False)
@json_option
@click.pass_context
def predict_command(ctx: click.Context, exercise: str, value: str | None, as_json: bool) -> None:
    """Commit a prediction for an exercise; without VALUE it says what may be predicted.

    VALUE is one of the exercise's options, or a number. It may be changed until the check has shown the result.
    Exit status 0 only if the prediction was committed.
    """
    from labsupport.course.manifest import find_exercise
    from labsupport.course.prediction import commit
    from labsupport.course.progress import Progress

    result = commit(find_exercise(exercise)[1], value, Progress())
    data = {
        "exercise": exercise,
        "committed": result.committed,
        "prediction": result.value,
        "title": result.note.title,
        "text": result.note.text,
    }
    emit(data, as_json=as_json, human=str(result.note))
    ctx.exit(0 if result.committed else 1)


@click.command("progress")
@click.argument("lab", required=False)
@json_option
def progress_command(lab: str | None, as_json: bool) -> None:
    """What is solved and what is open, with checks, hints, time spent and time left; of one LAB or of all."""
    from labsupport.course.manifest import find_lab, readable
    from labsupport.course.panels.overview import overview
    from labsupport.course.progress import Progress

    now = overview((find_lab(lab),) if lab else readable(), Progress())
    emit(now.as_dict(), as_json=as_json, human=str(now))
