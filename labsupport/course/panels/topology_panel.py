"""The mesh's topology in a notebook: a picture that follows, the same as a table, and as text."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from labsupport.course.panels import widgets
from labsupport.course.panels.live_table import cell_run
from labsupport.course.views import Table
from labsupport.draw import theme
from labsupport.draw.theme import escape
from labsupport.draw.topology import picture, words
from labsupport.draw.topology.data import Topology, chosen
from labsupport.errors import LabsError

EVERY = 2.0  # seconds
LIFE = 30 * 60.0  # seconds after which a forgotten one stops by itself
_shown: dict[object, tuple[object, TopologyPanel]] = {}  # by cell, as of tables


class TopologyPanel:
    """What `lab.topology` returns. Shown in a notebook it follows the mesh until `stop()`, until its cell is run again,
    or for half an hour; its text is the topology as it is now.
    """

    def __init__(self, look: Callable[[], Topology], *, find: str = "") -> None:
        """`look` asks the control plane. `find`: only what has to do with nodes that have this in their names.

        Errors: LabsError where no control plane answers.
        """
        self._look, self._find = look, find
        self._now = self._chosen()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._places: tuple[Any, Any, Any] | None = None
        self._trouble = ""

    @property
    def now(self) -> Topology:
        """As it was seen last: nodes and edges, for code."""
        return self._now

    def _chosen(self) -> Topology:
        return chosen(self._look(), find=self._find)

    def __str__(self) -> str:
        """The topology in words, as it is now."""
        if not self.running:
            try:
                self._now = self._chosen()
            except LabsError as error:
                return f"{words.text(self._now)}\n{error.what}"
        return words.text(self._now)

    def __repr__(self) -> str:
        """The text form."""
        return str(self)

    def _repr_html_(self) -> str:
        return self._picture() + self._table()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        text = str(self)
        forms = widgets.bundle(self.panel, text, self._repr_html_())
        if len(forms) > 2 and (run := cell_run("topology")) is not None:
            cell, execution = run
            earlier = _shown.get(cell)
            if earlier is not None and earlier[1] is not self and earlier[0] != execution:
                earlier[1].stop(wait=False)
            _shown[cell] = (execution, self)
            self.start()
        return forms

    # --- the panel

    def panel(self) -> Any:
        """The panel as an ipywidgets box; `start` makes it live."""
        import ipywidgets

        place, table, state = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self._places = (place, table, state)

        def toggle() -> None:
            if self.running:
                self.stop(wait=False)
            else:
                self.start()
            switch.description = "Stop" if self.running else "Watch again"

        switch = widgets.button("Stop", "Stop or go on watching", state, toggle)
        self._show()
        return ipywidgets.VBox([place, ipywidgets.HBox([switch, state]), table])

    @property
    def running(self) -> bool:
        """Whether it follows the mesh."""
        return self._thread is not None and self._thread.is_alive() and not self._stop.is_set()

    def start(self) -> None:
        """Follow the mesh, in one thread in the background."""
        if not self.running:
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(self._stop,), name="labs topology", daemon=True
            )
            self._thread.start()

    def stop(self, *, wait: bool = True) -> None:
        """Stop following. With `wait` it returns when the thread has ended."""
        self._stop.set()
        thread = self._thread
        self._show()
        if wait and thread is not None:
            thread.join(timeout=30)

    def _run(self, stop: threading.Event) -> None:
        deadline = time.monotonic() + LIFE
        self._show()
        while not stop.wait(EVERY):
            try:
                self._now = self._chosen()
                self._trouble = ""
            except LabsError as error:
                self._trouble = f"{error.what.splitlines()[0]} Trying again."
            if time.monotonic() >= deadline:
                self._trouble = f"Stopped after {LIFE / 60:.0f} minutes."
                stop.set()
            self._show()

    def _show(self) -> None:
        if self._places is None:
            return
        place, table, state = self._places
        place.value, table.value = self._picture(), self._table()
        said = self._trouble or ("Watching." if self.running else "Not watching.")
        line = f'<div role="status"><span style="color:{theme.MUTED}">{escape(said)}</span></div>'
        if state.value != line:  # said once, not at each look
            state.value = line

    def _picture(self) -> str:
        said = f'<p style="color:{theme.TEXT};margin:2px 0 6px">{escape(words.title(self._now))}.</p>'
        return said + picture.picture(self._now)._repr_html_()

    def _table(self) -> str:
        """Closed at first: the picture says the most of it, and screen readers find the table by its summary."""
        rows = [words.cells(edge) for edge in self._now.edges]
        table = Table("Calls", words.HEADS, rows)._repr_html_()
        return (
            f'<details style="color:{theme.TEXT}"><summary>The same as a table</summary>'
            f'<div style="overflow:auto" tabindex="0" role="region" aria-label="Table of calls">{table}</div></details>'
        )
