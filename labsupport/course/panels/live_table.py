"""A table of objects that follows the cluster: what is there, and what changed, in words."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.course.panels import widgets
from labsupport.course.panels.printed import TABLE, Form, Printed, form, told
from labsupport.course.views import Table
from labsupport.draw import theme
from labsupport.draw.theme import escape
from labsupport.errors import LabsError
from labsupport.kube.client import exchange, stream
from labsupport.kube.objects import resource

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

WATCH = 2  # seconds of one watch request, after which a stop is noticed
PAUSE = 1.0  # seconds before an API server that did not answer is asked again
LIFE = 30 * 60.0  # seconds after which a forgotten table stops by itself
CHANGES = 8  # lines of history
ROWS = 60  # a table that nobody can read any more helps nobody
_ACCEPT = {"Accept": TABLE}
_shown: dict[object, tuple[object, LiveTable]] = {}  # by cell: which run of it showed which table


class LiveTable:
    """What `lab.table` returns. Shown in a notebook it follows the cluster until `stop()`, until its cell is run again,
    or for half an hour; its text is the table as it is now.
    """

    def __init__(self, api: ApiClient, target: kube.Target) -> None:
        """The objects of `target`: a kind, in one namespace or (empty) in all, by labels.

        Errors: LabsError if the server does not serve that kind.
        """
        self._api = api
        self._target = target
        served = resource(api, target.api_version, target.kind)
        if not served.namespaced:
            self._target = target = replace(target, namespace="")
        self._path = served.path(target.namespace, "")
        self._query = {"labelSelector": target.labels} if target.labels else {}
        if target.name:
            self._query["fieldSelector"] = f"metadata.name={target.name}"
        self._wide = served.namespaced and not target.namespace
        self._now = Printed()
        self._changes: tuple[str, ...] = ()
        self._trouble = ""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()  # callbacks and the watching thread write the same widgets
        self._places: tuple[Any, Any, Any] | None = None

    # --- text

    def __str__(self) -> str:
        """The table as it is now, and what changed while it was watched."""
        trouble = ""
        if not self.running:
            try:
                self._take(*self._list()[:2])
            except LabsError as error:
                trouble = error.what
        lines = [str(self._table()), *self._changes, *([trouble] if trouble else [])]
        return "\n".join(lines)

    def __repr__(self) -> str:
        """The text form."""
        return str(self)

    def _repr_html_(self) -> str:
        return f"{self._table()._repr_html_()}{self._changes_html()}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        text = str(self)
        forms = widgets.bundle(self.panel, text, self._repr_html_())
        if len(forms) > 2 and (run := cell_run(replace(self._target))) is not None:
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

        table, changes, state = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self._places = (table, changes, state)

        def toggle() -> None:
            if self.running:
                self.stop(wait=False)
            else:
                self.start()
            switch.description = "Stop" if self.running else "Watch again"

        switch = widgets.button("Stop", "Stop or go on watching", state, toggle)
        self._show()
        restart = widgets.small("After a restart of the kernel, run this cell again.")
        return ipywidgets.VBox([table, changes, ipywidgets.HBox([switch, state]), restart])

    @property
    def running(self) -> bool:
        """Whether it follows the cluster."""
        return self._thread is not None and self._thread.is_alive() and not self._stop.is_set()

    def start(self) -> None:
        """Follow the cluster, in one thread in the background."""
        if self.running:
            return
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._stop,), name=f"labs table {self._target}", daemon=True
        )
        self._thread.start()

    def stop(self, *, wait: bool = True) -> None:
        """Stop following. With `wait` it returns when the thread has ended, in about 2 seconds at most."""
        self._stop.set()
        thread = self._thread
        self._show()
        if wait and thread is not None:
            thread.join(timeout=WATCH + 5)

    # --- following

    def _run(self, stop: threading.Event) -> None:
        deadline = time.monotonic() + LIFE
        while not stop.is_set():
            try:
                shape, after, version = self._list()
                self._take(shape, after)
                self._trouble = ""
                self._show()
                self._follow(stop, shape, version, deadline)
            except LabsError as error:
                self._trouble = f"{error.what.splitlines()[0]} Trying again."
                self._show()
                stop.wait(PAUSE)
            except Exception as error:
                self._trouble = f"Watching ended: {type(error).__name__}: {error}"
                stop.set()
            if time.monotonic() >= deadline:
                self._trouble = f"Stopped after {LIFE / 60:.0f} minutes."
                stop.set()
        self._show()

    def _list(self) -> tuple[Form, Printed, str]:
        answer = exchange(self._api, "GET", self._path, query=self._query, headers=_ACCEPT)
        if answer.status >= 400:
            message = answer.body.get("message") if isinstance(answer.body, dict) else answer.body
            raise LabsError(f"The API server refused: {message}")
        shape = form(answer.body, with_namespace=self._wide)
        printed = Printed(shape.names, shape.rows(answer.body))
        return shape, printed, str(answer.body["metadata"]["resourceVersion"])

    def _follow(self, stop: threading.Event, shape: Form, version: str, deadline: float) -> None:
        """One watch after another from `version` on; returns when the list must be read again."""
        while not stop.is_set() and time.monotonic() < deadline:
            query = self._query | {
                "watch": "true",
                "resourceVersion": version,
                "timeoutSeconds": str(WATCH),
                "allowWatchBookmarks": "true",
            }
            began = time.monotonic()
            for event in stream(self._api, self._path, query=query, timeout=WATCH + 5, headers=_ACCEPT):
                if stop.is_set():
                    return
                table = event["object"]
                if event["type"] == "ERROR":
                    return  # expired: list again
                version = str(table["rows"][-1]["object"]["metadata"]["resourceVersion"])
                if event["type"] == "BOOKMARK":
                    continue
                rows = shape.rows(table)
                kept = {uid: row for uid, row in self._now.rows.items() if uid not in rows}
                self._take(shape, Printed(shape.names, kept if event["type"] == "DELETED" else kept | rows))
                self._show()
            if time.monotonic() - began < WATCH / 2:
                stop.wait(PAUSE)  # broken off early: do not hammer a server that is in trouble
                return

    def _take(self, shape: Form, after: Printed) -> None:
        """Make `after` what is shown; what is new against before goes into the history."""
        if self._now.columns == shape.names:
            clock = time.strftime("%H:%M:%S")
            lines = [f"{clock} {line}" for line in told(self._now, after)]
            self._changes = (*self._changes, *lines)[-CHANGES:]
        self._now = after

    # --- showing

    def _table(self) -> Table:
        rows = self._now.ordered()
        count = f"{len(rows)} object" + ("" if len(rows) == 1 else "s")
        title = (
            f"{self._target.kind} in {self._target.namespace}"
            if self._target.namespace
            else self._target.kind
        )
        title += f" with {self._target.labels}" if self._target.labels else ""
        if len(rows) > ROWS:
            rows, count = rows[:ROWS], f"the first {ROWS} of {count}"
        return Table(f"{title}: {count}", ("Name", *self._now.columns), rows)

    def _changes_html(self) -> str:
        lines = "".join(f"<li>{escape(line)}</li>" for line in self._changes)
        words = f'<ul style="margin:2px 0;padding-left:1.4em">{lines}</ul>' if lines else "nothing yet"
        return (
            f'<div role="log" style="color:{theme.TEXT};margin:4px 0;line-height:1.45">'
            f'<span style="color:{theme.MUTED}">What changed while this was watched: </span>{words}</div>'
        )

    def _show(self) -> None:
        with self._lock:
            if self._places is None:
                return
            table, changes, state = self._places
            table.value = self._table()._repr_html_()
            changes.value = self._changes_html()
            words = self._trouble or ("Watching." if self.running else "Not watching.")
            widgets.announce(state, f'<span style="color:{theme.MUTED}">{escape(words)}</span>')


def cell_run(otherwise: object) -> tuple[object, object] | None:
    """Which cell is running, and which run of it, as far as the notebook says; None where there is no kernel.

    JupyterLab and other front ends send the cell's id with each execution (JEP 66 gives cells their ids); elsewhere
    `otherwise` stands for the cell: a table of the same objects takes the place of the one before.
    """
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    if not hasattr(shell, "kernel"):
        return None
    parent = shell.get_parent() or {}
    cell = (parent.get("metadata") or {}).get("cellId")
    return cell or otherwise, (parent.get("header") or {}).get("msg_id")
