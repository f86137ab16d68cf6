"""The table of commands. A command's module is imported on use, so that `labs` starts at once."""

from __future__ import annotations

import importlib
from typing import Any

import click

# Name -> (module under labsupport.cli, its line in `labs --help`). The command in the module has the
# command's name,
# with `_command` behind it.
COMMANDS = {
    "up": ("cluster", "Bring the cluster up."),
    "notebook": ("course", "Open JupyterLab on your copy of a lab."),
    "down": ("cluster", "Take the cluster down."),
    "status": ("cluster", "Say how the cluster is."),
    "node": ("node", "List, stop, start, cut off and heal the nodes of a cluster."),
    "doctor": ("doctor", "Find out whether this machine can run a cluster."),
    "kubectl": ("cluster", "Run kubectl on the cluster."),
    "url": ("cluster", "Print a local URL that leads to a Service."),
    "images": ("cache", "List the images that a cluster has."),
    "cache": ("cache", "Show what the cache holds; remove what is not needed."),
    "bundle": ("bundle", "Make an offline bundle: a cluster for machines without a network."),
    "report": ("report", "Make one redacted archive for asking help."),
    "start": ("course", "Bring a lab to its start, or reset it."),
    "check": ("course", "Check an exercise."),
    "hint": ("course", "Show the next hint for an exercise."),
    "solution": ("course", "Show one way to solve an exercise."),
    "predict": ("course", "Commit a prediction before its check shows what happens."),
    "progress": ("course", "Show what is solved and what is open."),
    "build": ("authoring", "Generate the notebooks from their sources."),
    "new": ("authoring", "Begin a lab: an outline that builds."),
    "content": ("authoring", "Prove the exercises of a lab on the cluster."),
    "mesh": ("mesh", "Install, upgrade, look at and remove the mesh."),
    "conformance": ("conformance", "Run suites that others wrote against the cluster."),
    "bench": ("bench", "Measure the cluster and the course."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and one-line helps without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"labsupport.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, f"{cmd_name}_command")
        if not isinstance(command, click.Command):
            raise TypeError(f"labsupport.cli.{COMMANDS[cmd_name][0]}.{cmd_name}_command is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _print_version(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value and not ctx.resilient_parsing:
        from labsupport import __version__

        click.echo(f"labs {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
def labs() -> None:
    """An interactive course on service meshes and operators, on a real Kubernetes cluster of your own."""
