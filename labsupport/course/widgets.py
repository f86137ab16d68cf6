"""The check panel: a verdict with buttons to check again and to take a hint.

Its text form is the verdict's, which is all that a console, a notebook on a web page or a screen reader
needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labsupport.course.verdict import Verdict
from labsupport.course.views import Note
from labsupport.draw import theme
from labsupport.draw.theme import escape


class Checked:
    """What `lab.check` returns: the verdict, shown as a panel where widgets work and as text or HTML
    elsewhere.
    """

    def __init__(self, verdict: Verdict, check: Callable[[], Verdict], hint: Callable[[], Note]) -> None:
        """`check` checks again, `hint` takes the next hint; both are called when their button is pressed."""
        self.verdict = verdict
        self._check = check
        self._hint = hint

    def __bool__(self) -> bool:
        """True only for a pass."""
        return bool(self.verdict)

    def __str__(self) -> str:
        """The verdict's text form."""
        return str(self.verdict)

    def __repr__(self) -> str:
        """The verdict's text form."""
        return str(self.verdict)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle = {"text/plain": str(self.verdict), "text/html": self.verdict.html()}
        try:
            panel = self.panel()
            view = panel._repr_mimebundle_()
        except Exception:  # no kernel, no front end, no ipywidgets: the verdict is what matters
            return bundle
        return {**view, **bundle}

    def panel(self) -> Any:
        """The panel as an ipywidgets box."""
        import ipywidgets as widgets

        result = widgets.HTML(self.verdict.html())
        hints = widgets.HTML("")
        again = widgets.Button(
            description="Check", tooltip="Check this exercise again", button_style="primary"
        )
        hint = widgets.Button(description="Hint", tooltip="Show the next of three hints")
        restart = "Run this cell again after a restart of the kernel."
        note = widgets.HTML(f'<span style="color:{theme.MUTED};font-size:0.9em">{restart}</span>')
        # A click on a button while its work goes on is queued by the kernel, and would run it twice.
        again.on_click(_guarded(again, hints, lambda: self._again(result)))
        hint.on_click(_guarded(hint, hints, lambda: _show(hints, self._hint()._repr_html_())))
        return widgets.VBox([result, hints, widgets.HBox([again, hint, note])])

    def _again(self, result: Any) -> None:
        checking = f"Checking {escape(self.verdict.exercise)} ..."
        result.value = f'<div role="status" style="color:{theme.MUTED}">{checking}</div>'
        self.verdict = self._check()
        result.value = self.verdict.html()


def _show(place: Any, content: str) -> None:
    place.value = f'<div role="status">{content}</div>'


def _guarded(button: Any, place: Any, action: Callable[[], None]) -> Callable[[Any], None]:
    """An action for a button: it is off meanwhile, and what goes wrong is shown; ipywidgets would swallow
    it.
    """

    def clicked(_: Any) -> None:
        button.disabled = True
        try:
            action()
        except Exception as error:
            _show(place, escape(f"{button.description} did not work: {error}"))
        finally:
            button.disabled = False

    return clicked
