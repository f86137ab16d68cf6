"""The progress panel: where the learner stands, kept up to date by each check in the same notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labsupport.course.panels import widgets
from labsupport.course.panels.overview import Overview


class ProgressPanel:
    """What `lab.progress` returns: the overview, as a panel where widgets work and as text or HTML elsewhere."""

    def __init__(self, look: Callable[[], Overview]) -> None:
        """`look` reads the record anew."""
        self._look = look
        self._place: Any = None

    def __str__(self) -> str:
        """The overview's text, as it is now."""
        return str(self._look())

    def __repr__(self) -> str:
        """The text form."""
        return str(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        now = self._look()
        return widgets.bundle(lambda: self.panel(now), str(now), now.html())

    def panel(self, now: Overview | None = None) -> Any:
        """The panel as an ipywidgets box."""
        import ipywidgets

        self._place = place = ipywidgets.HTML((now or self._look()).html())
        again = widgets.button("Refresh", "Read the record again", place, self.refresh)
        restart = widgets.small(
            "Checks in this notebook show here by themselves. After a restart of the kernel, run this cell again."
        )
        return ipywidgets.VBox([place, ipywidgets.HBox([again, restart])])

    def refresh(self) -> None:
        """Show the record as it is now, where a panel has been made."""
        if self._place is not None:
            widgets.announce(self._place, self._look().html())
