"""The check panel: a verdict with buttons to check again, to take a hint, and to see the solution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labsupport.course import voice
from labsupport.course.ladder import Hint
from labsupport.course.panels import widgets
from labsupport.course.verdict import Verdict
from labsupport.course.views import Note


class Checked:
    """What `lab.check` returns: the verdict, shown as a panel where widgets work and as text or HTML elsewhere."""

    def __init__(
        self,
        verdict: Verdict,
        *,
        check: Callable[[voice.Say], Verdict],
        hint: Callable[[], Hint],
        solution: Callable[[], Note],
        resume: str = "",
    ) -> None:
        """`check`, `hint` and `solution` are called when their button is pressed; the first is given a function for
        progress texts. `resume` is the statement that goes on with the lab in a new kernel.
        """
        self.verdict = verdict
        self._check = check
        self._hint = hint
        self._solution = solution
        self._resume = resume

    def __bool__(self) -> bool:
        """True only for a pass."""
        return bool(self.verdict)

    def __str__(self) -> str:
        """The verdict's text, and the calls that do what the panel's buttons do."""
        name = self.verdict.exercise
        return f'{self.verdict}\n  Also: lab.hint("{name}"), lab.solution("{name}")'

    def __repr__(self) -> str:
        """The text form."""
        return str(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return widgets.bundle(self.panel, str(self), self.verdict.html())

    def panel(self) -> Any:
        """The panel as an ipywidgets box: the verdict, what was asked for, the buttons."""
        import ipywidgets

        result = ipywidgets.HTML(self.verdict.html())
        asked = ipywidgets.HTML("")
        again = widgets.button(
            "Check again", "Run your cell first", result, lambda: self._again(result), main=True
        )
        hint = widgets.button(
            "Hint",
            "Three hints, one at a time",
            asked,
            lambda: widgets.announce(asked, self._next_hint(hint)._repr_html_()),
        )
        solution = widgets.button(
            "Solution",
            "Opens after a pass or three failed checks",
            asked,
            lambda: widgets.announce(asked, self._solution()._repr_html_()),
        )
        buttons = ipywidgets.HBox([again, hint, solution])
        return ipywidgets.VBox([result, asked, buttons, widgets.small(self._restart())])

    def _restart(self) -> str:
        first = f"Run `{self._resume}`, then your answer" if self._resume else "Run the cells above"
        return f"After a restart of the kernel these buttons do nothing. {first} and this cell again."

    def _again(self, result: Any) -> None:
        before = f'<div aria-hidden="true" style="opacity:0.55">{self.verdict.html()}</div>'

        def show(line: str) -> None:
            if line:
                result.value = voice.html(line) + before

        show(f"Checking {self.verdict.exercise} ...")
        try:
            with voice.patient(f"Checking {self.verdict.exercise}", show, silence=0.5) as say:
                self.verdict = self._check(say)
        finally:
            result.value = self.verdict.html()

    def _next_hint(self, button: Any) -> Note:
        hint = self._hint()
        if hint.level >= hint.highest:
            button.description = "Hints"
            button.tooltip = "All hints are shown"
        else:
            button.description = "Next hint"
        return hint.note
