"""`labs build`, `labs new` and `labs content`: for those who write labs."""

from __future__ import annotations

import time

import click

from labsupport.cli.options import emit, json_option, name_option


@click.command("build")
@click.argument("lab", required=False)
@click.option("--check", is_flag=True, help="Write nothing; fail if a notebook is not what its source gives.")
@json_option
def build_command(lab: str | None, check: bool, as_json: bool) -> None:
    """Generate the learner's and the solution notebooks from labs/source: of all labs, or of one.

    A lab whose duration was never recorded is generated too, but exit status 0 is for labs that are complete.
    """
    from labsupport.course import authoring
    from labsupport.course.manifest import find_lab
    from labsupport.paths import REPOSITORY

    chosen = [find_lab(lab)] if lab else None
    written = [str(path.relative_to(REPOSITORY)) for path in authoring.build(chosen, check=check)]
    human = "\n".join(f"written: {path}" for path in written) or "All notebooks are what their sources give."
    emit({"written": written}, as_json=as_json, human=human)
    authoring.require_durations(chosen)


@click.command("new")
@click.argument("lab")
@click.option("--title", required=True, help='Such as "The control loop".')
@json_option
def new_command(lab: str, title: str, as_json: bool) -> None:
    """Begin lab LAB: an outline under labs/source with two exercises that work, to be rewritten part by part."""
    from labsupport.course.scaffold import scaffold
    from labsupport.paths import REPOSITORY

    written = [str(path.relative_to(REPOSITORY)) for path in scaffold(lab, title)]
    then = f"labs build {lab}; labs content {lab}; labs content {lab} --record (labs/README.md)"
    human = "\n".join([*(f"written: {path}" for path in written), f"Next: {then}"])
    emit({"written": written}, as_json=as_json, human=human)


@click.command("content")
@click.argument("lab", required=False)
@click.option("--all", "everything", is_flag=True, help="All labs.")
@click.option(
    "--changed",
    is_flag=True,
    help="Labs that differ from the main line, and a tenth of the other exercises.",
)
@click.option("--seed", default="", help="What draws that tenth; by default the commit.")
@click.option("--exercise", "only", help="Of a lab, this exercise alone.")
@click.option("--offline", is_flag=True, help="Only what needs no cluster.")
@click.option("--mutate", is_flag=True, help="Try small changes of each solution too: all must be rejected.")
@click.option(
    "--record", is_flag=True, help="Measure how long the lab's notebook runs; write it to lab.toml."
)
@name_option
@json_option
@click.pass_context
def content_command(
    ctx: click.Context,
    *,
    lab: str | None,
    everything: bool,
    changed: bool,
    seed: str,
    only: str | None,
    offline: bool,
    mutate: bool,
    record: bool,
    name: str,
    as_json: bool,
) -> None:
    """Prove a lab's exercises on the cluster: what is shipped does not pass, solutions do, wrong answers are
    rejected for the right reason. Resets the labs' namespaces.

    Exit status 0 only if all of that holds. With --record, measure instead.
    """
    from labsupport import cluster as clusters
    from labsupport import kube
    from labsupport.console import note, phase
    from labsupport.course.manifest import find_lab, labs
    from labsupport.course.proofs import content
    from labsupport.course.proofs.continuity import differences

    if (lab is not None) + everything + changed != 1:
        raise click.UsageError("name a lab, or give --all or --changed")
    if record and (offline or changed or only or mutate):
        raise click.UsageError("--record measures whole labs on the cluster")
    if only and lab is None:
        raise click.UsageError("--exercise goes with a lab")
    if record:
        _record(lab, name, as_json)
        return
    named = None if lab is None else [find_lab(lab)]
    chosen = content.choose(seed) if changed else content.every(named)
    if only:
        chosen = [(each, found) for each, found in chosen if found.id == find_lab(str(lab)).exercise(only).id]
    whole = [] if offline or only else named if named else list(labs())
    if changed:
        whole = [each for each in whole if each.id in content.changed_labs()]
    api = None if offline else kube.connect(clusters.get(name).kubeconfig)
    began = time.monotonic()
    with phase("Exercises") as progress:
        results = []
        for result in content.prove(api, chosen, mutate=mutate, progress=progress.update):
            results.append(result)
            # All mutants take hours: what is known must not wait for the rest.
            note("\n".join([f"  {result.id}: {'as it must be' if result.ok else 'faults'}", *result.faults]))
    checkpoints: dict[str, list[str]] = {}
    if whole:
        with phase("Checkpoints") as progress:
            for each in whole:
                checkpoints |= differences(each, clusters.get(name), progress.update)
    seconds = round(time.monotonic() - began, 1)
    data = {
        "exercises": [result.as_dict() for result in results],
        "checkpoints": checkpoints,
        "seconds": seconds,
    }
    lines = [content.table(results)]
    for exercise, found in checkpoints.items():
        lines.append(f"\n{exercise}: its checkpoint differs from what the notebook leads to:")
        lines += [f"  {line}" for line in found]
    emit(data, as_json=as_json, human="\n".join([*lines, f"In all {seconds:.0f} s."]))
    ctx.exit(0 if all(result.ok for result in results) and not checkpoints else 1)


def _record(lab: str | None, name: str, as_json: bool) -> None:
    from labsupport import cluster as clusters
    from labsupport.console import phase
    from labsupport.course import durations
    from labsupport.course.manifest import find_lab, labs

    recorded = {}
    with phase("Durations") as progress:
        for each in labs() if lab is None else [find_lab(lab)]:
            progress.update(each.id)
            recorded[each.id] = durations.record(each, clusters.get(name))
    human = "\n".join(f"{identifier}: {seconds:.1f} s" for identifier, seconds in recorded.items())
    data = {"seconds": recorded}
    emit(data, as_json=as_json, human=f"{human}\nThe notebooks' heads change with them: labs build")
