"""Small things to show: a note, a table. Each has a text form and an HTML form with the same content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labsupport.course.verdict import with_code
from labsupport.draw import theme
from labsupport.draw.theme import escape


@dataclass(frozen=True)
class Note:
    """A few lines for the learner; `code` is set apart, as it is to be read or copied."""

    text: str
    title: str = ""
    code: str = ""

    def __str__(self) -> str:
        """The text form."""
        return "\n".join(part for part in (self.title, self.text, self.code) if part)

    def __repr__(self) -> str:
        """The text form."""
        return str(self)

    def _repr_html_(self) -> str:
        title = f"<strong>{escape(self.title)}</strong><br>" if self.title else ""
        code = (
            f'<pre style="background:{theme.PANEL};padding:8px 12px;border-radius:4px;overflow:auto" tabindex="0">'
            f"{escape(self.code)}</pre>"
            if self.code
            else ""
        )
        return (
            f'<div class="labs-note" style="color:{theme.TEXT};font-family:{theme.FONT};line-height:1.45;'
            f'max-width:860px;white-space:pre-wrap">{title}{with_code(self.text)}{code}</div>'
        )


@dataclass(frozen=True)
class Table:
    """Rows of text under column names."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        """The text form."""
        table = [self.columns, *self.rows]
        widths = [max(len(row[column]) for row in table) for column in range(len(self.columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
        return "\n".join([self.title, *lines])

    def __repr__(self) -> str:
        """The text form."""
        return str(self)

    def _repr_html_(self) -> str:
        # Six columns have room beside the file browser of a small screen if they stand closer.
        aside = 12 if len(self.columns) < 6 else 6
        cell = f"padding:3px {aside}px;text-align:left;border-bottom:1px solid {theme.RULE}"
        head = "".join(f'<th scope="col" style="{cell}">{escape(name)}</th>' for name in self.columns)
        body = "".join(
            "<tr>" + "".join(f'<td style="{cell}">{with_code(value)}</td>' for value in row) + "</tr>"
            for row in self.rows
        )
        return (
            # Where there is no room for it, it moves sideways by itself, also by the keyboard.
            f'<div role="group" aria-label="{escape(self.title)}" tabindex="0" style="overflow-x:auto">'
            f'<table style="border-collapse:collapse;line-height:1.45;color:{theme.TEXT}">'
            '<caption style="text-align:left;font-weight:600;padding:4px 0;white-space:nowrap">'
            f"{escape(self.title)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )
