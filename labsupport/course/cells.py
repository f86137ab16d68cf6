"""The text of a notebook's cells: where the definition of a function, a class or a name is to be found in it."""

from __future__ import annotations

import ast
import hashlib
import linecache
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from labsupport.errors import LabsError

# Where the notebook keeps the texts of its cells, in the order in which they ran (IPython's name; run_cell's too).
_HISTORY = "_ih"
_LABEL = "_cell_label"  # what run_cell calls them all


class Unportable(LabsError):
    """Something that the function needs cannot leave the notebook; `fix` says what to do instead."""


@dataclass(frozen=True)
class Origin:
    """A line of the learner's: in which cell ("cell [4]", or the name of a file), its number there, its text."""

    cell: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line} of {self.cell}: `{self.text.strip()}`"


@dataclass(frozen=True)
class Definition:
    """Some statements of a cell: the node, its lines without indentation, where they came from."""

    node: ast.stmt
    lines: list[str]
    origins: list[Origin]


def cell_file(text: str, label: str) -> str:
    """The file name that `run_cell` gives to the code of a cell: one for each text."""
    return f"<{label} {hashlib.sha256(text.encode()).hexdigest()[:8]}>"


def run_cell(text: str, names: dict[str, Any], label: str) -> None:
    """Run `text` in the namespace `names` as a notebook runs a cell: its lines can be found again from its functions.

    `label` is what messages call the cell.
    """
    file = cell_file(text, label)
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    names.setdefault("__name__", "__main__")
    names.setdefault(_HISTORY, []).append(text)
    names[_LABEL] = label
    exec(compile(text, file, "exec", dont_inherit=True), names)  # noqa: S102 (the course's own source, or the learner's)


def what(name: str, users: tuple[str, ...]) -> str:
    """How a message names something that does not travel; `users` are the names that led to it."""
    return f"`{name}`" + (f", which `{users[-1]}` uses," if users else "")


@dataclass(frozen=True)
class _Cell:
    """The text of one cell or file, parsed, and what messages call it."""

    label: str
    lines: list[str]
    tree: ast.Module

    def definition(self, node: ast.stmt) -> Definition:
        first = _first_line(node)
        last = node.end_lineno or node.lineno
        lines = self.lines[first - 1 : last]
        origins = [
            Origin(self.label, number, text)
            for number, text in zip(range(first, last + 1), lines, strict=True)
        ]
        if first == last or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            # One line may hold more than this statement; take its own columns.
            segment = ast.get_source_segment("\n".join(self.lines), node) or "\n".join(lines)
            return Definition(node, segment.split("\n"), origins)
        return Definition(node, lines, origins)


def _cell_of(file: str, names: Mapping[str, Any]) -> _Cell | None:
    lines = [line.rstrip("\n") for line in linecache.getlines(file)]
    if not lines:
        return None
    return _parsed("\n".join(lines), _label(file, lines, names))


def _parsed(text: str, label: str) -> _Cell | None:
    try:
        return _Cell(label, text.split("\n"), ast.parse(text))
    except (SyntaxError, ValueError):
        return None


def _label(file: str, lines: list[str], names: Mapping[str, Any]) -> str:
    """What to call a cell: its number in the notebook where it has one."""
    if made := re.fullmatch(r"<(.+) [0-9a-f]{8}>", file):
        return made[1]
    text = "\n".join(lines).strip()
    history = names.get(_HISTORY) or []
    for number in range(len(history) - 1, 0, -1):
        if history[number].strip() == text:
            return f"cell [{number}]"
    return "its cell" if "ipykernel" in file or file.startswith("<") else file.rpartition("/")[2]


def _cells(names: Mapping[str, Any], first: str = "") -> Iterator[_Cell]:
    """The cell of file `first`, then those that ran in this notebook, latest first."""
    if first and (cell := _cell_of(first, names)):
        yield cell
    history = names.get(_HISTORY) or []
    for number in range(len(history) - 1, -1, -1):
        if cell := _parsed(history[number], names.get(_LABEL) or f"cell [{number}]"):
            yield cell
    file = names.get("__file__")
    if isinstance(file, str) and (cell := _cell_of(file, names)):
        yield cell


def function_source(function: FunctionType, name: str, users: tuple[str, ...]) -> Definition:
    """The statement that defines `function`, from the cell that its code came from. Errors: Unportable."""
    code: CodeType = function.__code__
    cell = _cell_of(code.co_filename, function.__globals__)
    if cell is None:
        raise Unportable(
            f"The source of {what(name, users)} cannot be found: it was made by exec or came from elsewhere.",
            fix="define it in a cell with def",
        )
    if code.co_name == "<lambda>":
        for node in cell.tree.body:
            inside = node.lineno <= code.co_firstlineno <= (node.end_lineno or node.lineno)
            if inside and isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Lambda):
                return cell.definition(node)
        raise Unportable(f"{what(name, users)} is a lambda without a line of its own.", fix="use def")
    for node in cell.tree.body:
        if _defines(node, code.co_name) and code.co_firstlineno in (node.lineno, _first_line(node)):
            return cell.definition(node)
    raise Unportable(
        f"{what(name, users)} is defined inside something else in {cell.label} (an if, a with, another function).",
        fix="define it at the left margin of a cell",
    )


def _first_line(node: ast.stmt) -> int:
    """The line of a statement, or of the first of its decorators."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])


def _defines(node: ast.stmt, name: str) -> bool:
    return (
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and getattr(node, "name", "") == name
    )


def class_source(value: type, names: Mapping[str, Any], name: str, users: tuple[str, ...]) -> Definition:
    """The definition of a class: where its methods come from; without methods, the latest cell that defines it.

    Errors: Unportable.
    """
    files = [
        each.__code__.co_filename
        for each in vars(value).values()
        if isinstance(each, FunctionType) and each.__code__.co_filename != "<string>"
    ]
    module = sys.modules.get(value.__module__)
    if not files and isinstance(getattr(module, "__file__", None), str) and value.__module__ != "__main__":
        files = [str(module.__file__)]  # type: ignore[union-attr]
    for cell in _cells(names, files[0] if files else ""):
        for node in reversed(cell.tree.body):
            if _defines(node, value.__name__):
                return cell.definition(node)
    if definition := assignment(name, names):  # Point = namedtuple("Point", "x y")
        return definition
    raise Unportable(
        f"The source of the class {what(name, users)} cannot be found in any cell.",
        fix="define it at the left margin of a cell",
    )


def assignment(name: str, names: Mapping[str, Any]) -> Definition | None:
    """The latest statement at the left margin of a cell that binds `name`: an assignment or an import."""
    for cell in _cells(names):
        for node in reversed(cell.tree.body):
            targets: list[ast.expr] = []
            if isinstance(node, ast.Assign):
                targets = node.targets
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                targets = [node.target]
            elif isinstance(node, ast.ImportFrom | ast.Import):
                bound = [alias.asname or alias.name.partition(".")[0] for alias in node.names]
                module = sys.modules.get(getattr(node, "module", None) or "")
                if name in bound or ("*" in bound and getattr(module, name, None) is names.get(name)):
                    return cell.definition(node)
                continue
            bound = [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]
            if name in bound:
                return cell.definition(node)
    return None
