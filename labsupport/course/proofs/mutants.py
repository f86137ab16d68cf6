"""Mutants of solutions: each differs from its solution in one place, and a good check tells it from the solution.

YAML: see mutants_of_yaml.py. Python: each statement is dropped; comparisons, boolean and arithmetic operators,
conditions and constants are altered; keyword arguments of calls are dropped; YAML in a text is treated as YAML. Left
alone, since no check should look at them: docstrings, the texts of `raise`, `assert` and `print`, and annotations.

A mutant's name says what was done where and holds no line number, so that lab.toml can list it for long.
"""

from __future__ import annotations

import ast
import copy
import difflib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from labsupport.course.proofs import mutants_of_yaml as manifests

SHORT = 48  # characters of a snippet that a name shows

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt},
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In},  # codespell:ignore notin
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is},
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult},
    **{ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd},
}


@dataclass(frozen=True)
class Mutated:
    """One mutant: its stable name, its whole source, and how it differs from the solution (a unified diff)."""

    name: str
    source: str
    diff: str


def of(file: str, source: str, lines: Collection[int] | None = None) -> list[Mutated]:
    """The mutants of a solution; the suffix of `file` says whether it is YAML or Python (see of_python)."""
    return of_yaml(source) if file.endswith(".yaml") else of_python(source, lines)


def of_yaml(text: str) -> list[Mutated]:
    """The mutants of a manifest, which may hold several documents and the placeholders of labs' files.

    Errors: yaml.YAMLError if it is none.
    """
    before = manifests.normal(text)
    made = list(manifests.of_text(text))
    return [Mutated(name, source, _diff(before, source)) for name, source in _numbered(made)]


# --- Python


def of_python(source: str, lines: Collection[int] | None = None) -> list[Mutated]:
    """The mutants of a program. With `lines`, only of what begins on one of those lines (numbered from 1).

    Errors: SyntaxError if the source is no Python.
    """
    tree = ast.parse(source)
    before = ast.unparse(tree)
    made = []
    for name, change in _changes(tree, lines):
        undo = change()
        ast.fix_missing_locations(tree)
        made.append((name, ast.unparse(tree)))
        undo()
    return [
        Mutated(name, mutated, _diff(before, mutated))
        for name, mutated in _numbered(made)
        if mutated != before
    ]


Undo = Callable[[], None]
Change = tuple[str, Callable[[], Undo]]


def _changes(tree: ast.Module, lines: Collection[int] | None) -> list[Change]:
    """All changes, found before any is made; each makes itself and returns how it is undone."""
    silent = _silent(tree)
    found: list[Change] = []

    def visit(node: ast.AST, context: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            context = f"{node.name}: "
        inside = lines is None or getattr(node, "lineno", 0) in lines
        for field, value in ast.iter_fields(node):
            if isinstance(value, list) and field in ("body", "orelse", "finalbody"):
                for index, child in enumerate(value):
                    begins = lines is None or getattr(child, "lineno", 0) in lines
                    if isinstance(child, ast.stmt) and begins and id(child) not in silent:
                        change = _put(value, index, ast.Pass())
                        found.append((f"{context}{_snippet(child)} dropped", change))
        touched = isinstance(node, ast.expr | ast.AugAssign | ast.If | ast.While | ast.comprehension)
        if touched and (inside or isinstance(node, ast.Constant | ast.JoinedStr | ast.comprehension)):
            found.extend((f"{context}{name}", change) for name, change in _of_node(node, lines, silent))
        if isinstance(node, ast.JoinedStr):
            # Its parts make one text; what is computed inside is looked at like any other expression.
            for part in node.values:
                if isinstance(part, ast.FormattedValue) and id(node) not in silent:
                    visit(part.value, context)
            return
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    visit(child, context)

    visit(tree, "")
    return found


def _silent(tree: ast.Module) -> set[int]:
    """Nodes that no check should look at: docstrings, `pass` and `...`, texts for people."""
    silent: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Pass) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            silent |= {id(node), *(id(child) for child in ast.walk(node))}
        texts: list[ast.AST] = []
        if isinstance(node, ast.Raise) and node.exc:
            texts = [node.exc]
        elif isinstance(node, ast.Assert) and node.msg:
            texts = [node.msg]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            texts = [*node.args]
        for text in texts:
            silent |= {
                id(child)
                for child in ast.walk(text)
                if isinstance(child, ast.JoinedStr)
                or (isinstance(child, ast.Constant) and isinstance(child.value, str))
            }
    return silent


def _of_node(node: ast.AST, lines: Collection[int] | None, silent: set[int]) -> Iterator[Change]:
    """The changes of one expression, or of the condition of a statement."""
    within = lines is None or any(
        number in lines for number in range(getattr(node, "lineno", 0), getattr(node, "end_lineno", 0) + 1)
    )
    match node:
        case ast.Compare():
            for index, operator in enumerate(node.ops):
                if other := _COMPARE.get(type(operator)):
                    yield _named(node, _put(node.ops, index, other()))
        case ast.BoolOp():
            yield _named(node, _set(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And()))
        case ast.BinOp() | ast.AugAssign():
            if other_operator := _ARITHMETIC.get(type(node.op)):
                yield _named(node, _set(node, "op", other_operator()))
        case ast.If() | ast.While() | ast.IfExp():
            yield from _negated(node, "test", lines)
        case ast.comprehension():
            for index, condition in enumerate(node.ifs):
                if lines is None or condition.lineno in lines:
                    yield (
                        f"{_snippet(condition)} always true",
                        _put(node.ifs, index, ast.Constant(value=True)),
                    )
        case ast.Call():
            for index, keyword in enumerate(node.keywords):
                if keyword.arg and (lines is None or keyword.value.lineno in lines):
                    yield f"{_snippet(node.func)}({keyword.arg}=) dropped", _drop(node.keywords, index)
        case ast.Constant() if within and id(node) not in silent:
            yield from _of_constant(node, lines)
        case ast.JoinedStr() if within and id(node) not in silent:
            yield from _of_text(node, lines)
        case _:
            pass


def _negated(node: ast.AST, field: str, lines: Collection[int] | None) -> Iterator[Change]:
    test = getattr(node, field)
    if lines is not None and test.lineno not in lines:
        return
    if isinstance(test, ast.Compare | ast.BoolOp | ast.Constant):
        return  # changed by itself
    other = (
        test.operand
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
        else ast.UnaryOp(op=ast.Not(), operand=test)
    )
    yield f"{_snippet(test)} -> {_snippet(other)}", _set(node, field, other)


def _of_constant(node: ast.Constant, lines: Collection[int] | None) -> Iterator[Change]:
    value = node.value
    if isinstance(value, str) and manifests.is_manifest(value):
        for name, text in manifests.of_text(value, mine=_own_lines(node, value, lines)):
            yield name, _set(node, "value", text)
    elif isinstance(value, bool | int | float | str):
        other = manifests.altered(value)
        yield f"{_snippet(node)} -> {_snippet(ast.Constant(value=other))}", _set(node, "value", other)


def _of_text(node: ast.JoinedStr, lines: Collection[int] | None) -> Iterator[Change]:
    """An f-string: as YAML, if it is a manifest; otherwise with another end."""
    inserted = [part for part in node.values if isinstance(part, ast.FormattedValue)]
    parts, number = [], 0
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value))
        else:
            parts.append(f"x--{number}--x")
            number += 1
    text = "".join(parts)
    if not manifests.is_manifest(text):
        longer = [*node.values, ast.Constant(value="-x")]
        yield f"{_snippet(node)} with another end", _set(node, "values", longer)
        return

    def back(text: str) -> list[ast.expr]:
        pieces = re.split(r"x--(\d+)--x", text)
        return [
            inserted[int(piece)] if index % 2 else ast.Constant(value=piece)
            for index, piece in enumerate(pieces)
            if index % 2 or piece
        ]

    def readable(name: str) -> str:
        return re.sub(
            r"x--(\d+)--x", lambda match: "{" + ast.unparse(inserted[int(match[1])].value) + "}", name
        )

    for name, mutated in manifests.of_text(text, readable, _own_lines(node, text, lines)):
        yield name, _set(node, "values", back(mutated))


def _own_lines(
    node: ast.Constant | ast.JoinedStr, text: str, lines: Collection[int] | None
) -> manifests.Mine:
    """Which lines of a text count. All, where it does not stand in the source line by line (`\\n`, a sum of texts)."""
    if text.count("\n") != (node.end_lineno or node.lineno) - node.lineno:
        return manifests.everything
    return manifests.on_lines(node.lineno, lines)


def _named(node: ast.AST, change: Callable[[], Undo]) -> Change:
    """The change with a name that shows the expression before and after."""
    before = _snippet(node)
    undo = change()
    after = _snippet(node)
    undo()
    return f"{before} -> {after}", change


def _put(items: list[Any], index: int, other: Any) -> Callable[[], Undo]:
    def change() -> Undo:
        before = items[index]
        items[index] = other

        def undo() -> None:
            items[index] = before

        return undo

    return change


def _drop(items: list[Any], index: int) -> Callable[[], Undo]:
    def change() -> Undo:
        before = items.pop(index)
        return lambda: items.insert(index, before)

    return change


def _set(node: ast.AST, field: str, other: Any) -> Callable[[], Undo]:
    def change() -> Undo:
        before = getattr(node, field)
        setattr(node, field, other)
        return lambda: setattr(node, field, before)

    return change


def _snippet(node: ast.AST) -> str:
    """The first line of a piece of source, cut to what a name can hold."""
    text = ast.unparse(ast.fix_missing_locations(copy.deepcopy(node)))
    first, _, rest = text.partition("\n")
    return first[: SHORT - 3] + "..." if len(first) > SHORT else first + (" ..." if rest else "")


def _numbered(made: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Equal names told apart by a number, in the order of the source."""
    seen: Counter[str] = Counter()
    for name, source in made:
        seen[name] += 1
        yield (name if seen[name] == 1 else f"{name} #{seen[name]}"), source


def _diff(before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), "solution", "mutant", lineterm="", n=2
    )
    return "\n".join(lines)
