"""Objects as the API server itself prints them, and what changed between two printings, in words.

The server turns any kind into rows and columns, custom resources too (Kubernetes API concepts, "Receiving resources as
Tables"): these are the columns that kubectl shows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
# Grow old without anybody changing anything.
_AGES = {"Age", "Last Seen", "First Seen"}
_AGO = re.compile(r" \([^()]* ago\)")


@dataclass(frozen=True)
class Row:
    """One object: its name (with its namespace where several are shown), its cells, whether it is being deleted."""

    name: str
    cells: tuple[str, ...]
    leaving: bool = False


@dataclass(frozen=True)
class Printed:
    """Objects by uid under the names of their columns; the first column is the object's name."""

    columns: tuple[str, ...] = ()
    rows: Mapping[str, Row] = field(default_factory=dict)

    def ordered(self) -> list[tuple[str, ...]]:
        """The cells as they are shown, by name; one that is being deleted says so."""
        rows = sorted(self.rows.values(), key=lambda row: row.name)
        return [(f"{row.name} (being deleted)" if row.leaving else row.name, *row.cells) for row in rows]


@dataclass(frozen=True)
class Form:
    """Which of the server's columns are shown, and whether names need their namespace."""

    names: tuple[str, ...]
    places: tuple[int, ...]
    with_namespace: bool

    def rows(self, table: Mapping[str, Any]) -> dict[str, Row]:
        """The rows of a Table (meta.k8s.io/v1) by uid."""
        found = {}
        for row in table.get("rows") or []:
            metadata = row["object"]["metadata"]
            name = metadata["name"]
            if self.with_namespace and metadata.get("namespace"):
                name = f"{metadata['namespace']}/{name}"
            cells = tuple(_cell(row["cells"][place]) for place in self.places)
            found[metadata["uid"]] = Row(name, cells, bool(metadata.get("deletionTimestamp")))
        return found


def form(table: Mapping[str, Any], *, with_namespace: bool) -> Form:
    """What to show of a Table: the columns that kubectl shows without -o wide, without those that only grow old."""
    chosen = [
        (place, column["name"])
        for place, column in enumerate(table["columnDefinitions"])
        if place > 0
        and not column.get("priority")
        and column["name"] not in _AGES
        and column.get("type") != "date"
    ]
    return Form(tuple(name for _, name in chosen), tuple(place for place, _ in chosen), with_namespace)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return _AGO.sub("", str(value))


def told(before: Printed, after: Printed) -> list[str]:
    """What changed, one line for each object."""
    lines = []
    for uid, row in sorted(after.rows.items(), key=lambda entry: entry[1].name):
        old = before.rows.get(uid)
        if old is None:
            words = ", ".join(
                f"{name} {value}"
                for name, value in zip(after.columns, row.cells, strict=True)
                if value != "-"
            )
            lines.append(f"new: {row.name}" + (f" ({words})" if words else ""))
            continue
        words = "; ".join(
            f"{name} was {was}, is {now}"
            for name, was, now in zip(after.columns, old.cells, row.cells, strict=True)
            if was != now
        )
        if row.leaving and not old.leaving:
            words = "; ".join(part for part in ("is being deleted", words) if part)
        if words:
            lines.append(f"{row.name}: {words}")
    lines += [f"gone: {row.name}" for uid, row in before.rows.items() if uid not in after.rows]
    return lines
