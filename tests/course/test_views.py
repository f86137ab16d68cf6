"""Small things to show: their HTML form."""

from __future__ import annotations

import re

from labsupport.course.views import Table


def test_a_table_that_is_too_wide_is_moved_by_the_keyboard_too() -> None:
    html = Table("Who & whom", ("Caller", "Answer"), [("web", "200")])._repr_html_()
    # What scrolls and holds nothing that takes the focus must take it itself (WCAG 2.1.1).
    assert html.startswith(
        '<div role="group" aria-label="Who &amp; whom" tabindex="0" style="overflow-x:auto">'
    )
    assert html.endswith("</table></div>")


def test_many_columns_stand_closer() -> None:
    def aside(columns: int) -> set[str]:
        made = Table("", ["a"] * columns, [["b"] * columns])._repr_html_()
        return set(re.findall(r"padding:3px (\d+)px", made))

    assert (aside(5), aside(6)) == ({"12"}, {"6"})
