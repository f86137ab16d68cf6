"""The command `labs`: thin, each command calls one room."""

from __future__ import annotations

from collections.abc import Sequence

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 only if what was asked holds."""
    import os
    import sys

    import click

    from labsupport.cli.application import labs
    from labsupport.errors import LabsError

    try:
        status = labs.main(args=None if argv is None else list(argv), prog_name="labs", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except LabsError as error:
        print(error, file=sys.stderr)
        return 1
    except (click.Abort, KeyboardInterrupt):
        print("interrupted; run the same command again, it goes on", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`labs status | head -1`); flushing at exit must not complain
        # again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status if isinstance(status, int) else 0
