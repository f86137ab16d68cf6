"""Which names a piece of Python refers to, without running it."""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator


def free_names(text: str, *, future: bool = False) -> list[str]:
    """The global names that the statements in `text` read and do not define themselves, in a stable order, builtins
    among them. `future`: annotations are not evaluated (PEP 563), so names in them do not count.
    """
    header = "from __future__ import annotations\n" if future else ""
    table = symtable.symtable(header + text, "<text>", "exec")
    defined = {
        symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()
    }
    read: dict[str, None] = {}
    for name in _global_reads(table, top=True):
        if name not in defined and name not in ("annotations", "__name__"):
            read[name] = None
    return list(read)


def _global_reads(table: symtable.SymbolTable, *, top: bool) -> Iterator[str]:
    for symbol in table.get_symbols():
        if (symbol.is_referenced() or symbol.is_declared_global()) and (top or symbol.is_global()):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _global_reads(child, top=False)


def attribute_chains(node: ast.AST) -> Iterator[tuple[str, ...]]:
    """Dotted names such as ("os", "path", "join") that occur in `node`, each as long as it goes."""
    for each in ast.walk(node):
        parts: list[str] = []
        while isinstance(each, ast.Attribute):
            parts.append(each.attr)
            each = each.value
        if parts and isinstance(each, ast.Name):
            yield (each.id, *reversed(parts))
