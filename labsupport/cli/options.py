"""Options that several commands share, and the one way to print a result."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_NAME = "labs"
BACKENDS = ("embedded", "kind")
# Looked for here and not by importing the cluster room: a mistyped option should be told at once.
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


def _checked_name(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    if not NAME.fullmatch(value):
        raise click.BadParameter("use lower-case letters, digits and dashes, at most 32")
    return value


def name_option(function: F) -> F:
    """`--name`: which cluster."""
    return click.option(
        "--name",
        default=DEFAULT_NAME,
        show_default=True,
        envvar="LABS_CLUSTER",
        show_envvar=True,
        callback=_checked_name,
        help="Which of your clusters.",
    )(function)


def json_option(function: F) -> F:
    """`--json`: the result as one JSON document on standard output."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(function)


def emit(data: Any, *, as_json: bool, human: str) -> None:
    """Print a result in the form asked for, on standard output."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False) if as_json else human)
