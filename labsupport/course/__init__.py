"""The course engine: exercises and verdicts, hints, the labs' worlds, progress, notebooks.

A notebook begins with `from labsupport.course import lab`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labsupport.course.context import Context

    lab: Context

__all__ = ["lab"]


def __getattr__(name: str) -> Any:
    # Made on first use: the command line imports this package for other things and should stay quick.
    if name == "lab":
        from labsupport.course.context import Context

        globals()["lab"] = Context()
        return globals()["lab"]
    raise AttributeError(name)
