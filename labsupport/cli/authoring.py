"""`labs build` and `labs content`: for those who write labs."""

from __future__ import annotations

import click

from labsupport.cli.options import emit, json_option, name_option


@click.command("build")
@click.option("--check", is_flag=True, help="Write nothing; fail if a notebook is not what its source gives.")
@json_option
def build_command(check: bool, as_json: bool) -> None:
    """Generate the learner's and the solution notebooks from labs/source."""
    from labsupport.course import authoring
    from labsupport.paths import REPOSITORY

    written = [str(path.relative_to(REPOSITORY)) for path in authoring.build(check=check)]
    human = "\n".join(f"written: {path}" for path in written) or "All notebooks are what their sources give."
    emit({"written": written}, as_json=as_json, human=human)


@click.command("content")
@click.argument("lab", required=False)
@click.option("--all", "everything", is_flag=True, help="All labs.")
@name_option
@json_option
@click.pass_context
def content_command(ctx: click.Context, lab: str | None, everything: bool, name: str, as_json: bool) -> None:
    """Prove a lab's exercises on the cluster: what is shipped does not pass, solutions do, wrong answers are
    rejected for the right reason. Resets the labs' namespaces.

    Exit status 0 only if all of that holds.
    """
    from labsupport import cluster as clusters
    from labsupport import kube
    from labsupport.console import phase
    from labsupport.course.content import prove
    from labsupport.course.manifest import find_lab

    if everything == (lab is not None):
        raise click.UsageError("name a lab, or give --all")
    chosen = None if lab is None else [find_lab(lab)]
    api = kube.connect(clusters.get(name).kubeconfig)
    with phase("Exercises") as progress:
        results = prove(api, chosen, progress=progress.update)
    lines = [f"{'EXERCISE':24}  {'FORM':8}  {'SHIPPED':15}  {'SOLUTION':15}  SECOND  WRONG  SECONDS"]
    for result in results:
        second = f"{sum(verdict == 'pass' for verdict in result.second)}/{len(result.second)}"
        wrong = f"{sum(answer.ok for answer in result.wrong)}/{len(result.wrong)}"
        row = f"{result.id:24}  {result.form:8}  {result.shipped:15}  {result.solution:15}"
        lines.append(f"{row}  {second:>6}  {wrong:>5}  {result.seconds_live:7.1f}")
    data = {"exercises": [result.as_dict() for result in results]}
    emit(data, as_json=as_json, human="\n".join(lines))
    ctx.exit(0 if all(result.ok for result in results) else 1)
