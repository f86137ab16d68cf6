"""The one kind of error that a person is meant to read."""

from __future__ import annotations


class LabsError(Exception):
    """Something a person can act on: what was wrong and what to do next.

    `what` says what was wrong and where, in one or a few lines; `fix` is the next step, a command where there is one;
    `anchor` names a heading of clusters/README.md that says more.
    """

    def __init__(self, what: str, *, fix: str = "", anchor: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix
        self.anchor = anchor

    def __str__(self) -> str:
        lines = [self.what]
        if self.fix:
            lines.append(f"Next: {self.fix}")
        if self.anchor:
            lines.append(f"More: clusters/README.md#{self.anchor}")
        return "\n".join(lines)

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: a walk through our code helps no reader of a notebook."""
        return str(self).splitlines()
