"""What the panels share: buttons whose errors are shown, and a text for every place that has no widgets.

A widget is a convenience. Its text form says the same and names the calls that do what its buttons do: that is what a
console, a notebook on a web page, a test and a screen reader get.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from labsupport.course.verdict import with_code
from labsupport.draw import theme
from labsupport.draw.theme import escape

REST = 0.4  # seconds after an action in which further clicks are the rest of a double click


def bundle(make: Callable[[], Any], text: str, html: str) -> dict[str, Any]:
    """The display forms of a panel: `text`, `html`, and the widget that `make` makes where there can be one."""
    forms = {"text/plain": text, "text/html": html}
    try:
        view = make()._repr_mimebundle_()
    except Exception:  # no kernel, no front end, no ipywidgets: what it says is what matters
        return forms
    return {**view, **forms}


def button(label: str, tooltip: str, place: Any, action: Callable[[], None], *, main: bool = False) -> Any:
    """A button that is off while its action runs; what goes wrong is shown in `place`, as ipywidgets would swallow it.

    A click on a button while its work goes on is queued by the kernel and would do it twice.
    """
    import ipywidgets as widgets

    made = widgets.Button(description=label, tooltip=tooltip, button_style="primary" if main else "")
    made.layout.width = "auto"
    rested = 0.0

    def clicked(_: Any) -> None:
        nonlocal rested
        if time.monotonic() < rested:
            return
        made.disabled = True
        try:
            action()
        except KeyboardInterrupt:
            announce(place, escape(f"{made.description}: interrupted."))
        except Exception as error:
            announce(place, escape(f"{made.description} did not work: {error}"))
        finally:
            made.disabled = False
            rested = time.monotonic() + REST

    made.on_click(clicked)
    return made


def announce(place: Any, content: str) -> None:
    """Put HTML into a widget in such a way that screen readers read it out."""
    place.value = f'<div role="status">{content}</div>'


def small(text: str) -> Any:
    """A line in small print; `backticks` mark code."""
    import ipywidgets as widgets

    style = f"color:{theme.MUTED};font-size:0.9em;line-height:1.45"
    return widgets.HTML(f'<div style="{style}">{with_code(text)}</div>')
