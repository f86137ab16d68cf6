"""Colours that follow JupyterLab's theme, light or dark, with fallbacks for pages that have no such
variables.

No meaning is carried by colour alone: shapes, words and numbers say the same.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

TEXT = "var(--jp-content-font-color1, currentColor)"
MUTED = "var(--jp-content-font-color2, #6b6b6b)"
RULE = "var(--jp-border-color2, #c8c8c8)"
PANEL = "var(--jp-layout-color2, rgba(128, 128, 128, 0.12))"
ACCENT = "var(--jp-brand-color1, #1976d2)"
ON_ACCENT = "var(--jp-ui-inverse-font-color0, #fff)"  # white in the light theme, black in the dark one
GOOD = "var(--jp-success-color1, #2e7d32)"
WAIT = "var(--jp-warn-color1, #b26a00)"
BAD = "var(--jp-error-color1, #c62828)"
CODE_FONT = "var(--jp-code-font-family, monospace)"
FONT = "var(--jp-content-font-family, system-ui, sans-serif)"


@dataclass(frozen=True)
class Picture:
    """An SVG element and the same in words; a notebook shows the first, everything else the second."""

    svg: str
    text: str

    def __str__(self) -> str:
        """The words."""
        return self.text

    def __repr__(self) -> str:
        """The words, so that a plain terminal shows them too."""
        return self.text

    def _repr_html_(self) -> str:
        return self.svg


def escape(text: object) -> str:
    """Text made safe for HTML and SVG, in elements and in attributes."""
    return html.escape(str(text), quote=True)


def svg(width: int, height: int, title: str, description: str, body: list[str]) -> str:
    """An SVG element that scales down with its column; screen readers read `title` and `description`."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}" '
        f'style="width:100%;max-width:{width}px;height:auto;color:{TEXT};font-family:{FONT}" '
        f'aria-label="{escape(f"{title}. {description}")}">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>" + "".join(body) + "</svg>"
    )


def text(
    x: float,
    y: float,
    content: object,
    *,
    size: int = 12,
    anchor: str = "start",
    fill: str = "currentColor",
    bold: bool = False,
) -> str:
    """One line of text; `y` is its baseline."""
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'style="fill:{fill}"{weight}>{escape(content)}</text>'
    )
