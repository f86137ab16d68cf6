"""A function of the notebook as text that runs elsewhere: in a process of its own, or in a Pod.

What travels is source, not a pickled code object: the function, and what it refers to in its notebook, transitively:
other functions and classes (their source), modules (an import), plain values (written out as they are now), and other
values by the statement that made them. Each line of the text knows which line of the learner's it was, so that an
error elsewhere is told where the learner can mend it.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import hashlib
import inspect
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import PathFinder
from types import FunctionType, ModuleType
from typing import Any

from labsupport.course.cells import (
    Definition,
    Origin,
    Unportable,
    assignment,
    cell_file,
    class_source,
    function_source,
    run_cell,
    what,
)
from labsupport.course.symbols import attribute_chains, free_names

__all__ = [
    "FILE",
    "Gathered",
    "Origin",
    "Unportable",
    "cell_file",
    "gather",
    "importable",
    "name_in",
    "run_cell",
]

FILE = "<learner>"  # the file name of gathered text in tracebacks
_ANNOTATIONS = __future__.annotations.compiler_flag
# Packages whose objects are connections, sessions or widgets of this process.
_BOUND = {
    "kubernetes": "a connection to the cluster",
    "urllib3": "a connection",
    "requests": "a connection",
    "socket": "a connection",
    "ssl": "a connection",
    "sqlite3": "a connection to a database",
    "labsupport": "part of this notebook's own session",
    "ipywidgets": "part of this page",
    "IPython": "part of this notebook's own session",
}


_PLAIN = (
    "take what is needed of it as a parameter, or keep the plain value (a text, a number) in a variable of its own, "
    "for instance `NAMESPACE = lab.namespace`"
)


@dataclass(frozen=True)
class Gathered:
    """Portable source. `entry` is the function's name in it; `origins[n - 1]` is where line n came from."""

    text: str
    entry: str
    origins: tuple[Origin | None, ...]

    @property
    def digest(self) -> str:
        """Another one for any change of the text."""
        return hashlib.sha256(f"{self.entry}\n{self.text}".encode()).hexdigest()[:10]

    def origin(self, line: int) -> Origin | None:
        """Where line `line` of the text (from 1) came from; None for a line that we added."""
        return self.origins[line - 1] if 0 < line <= len(self.origins) else None


def gather(function: Any, names: Mapping[str, Any] | None = None, also: Iterable[str] = ()) -> Gathered:
    """The portable source of `function`. `names` is the notebook's namespace (default: the function's own); what it has
    under the names `also` travels too.

    Errors: Unportable names what cannot travel, why, and what to do.
    """
    entry = inspect.unwrap(function) if callable(function) else function
    name = getattr(function, "__name__", "") or type(function).__name__
    if inspect.ismethod(function):
        raise Unportable(f"`{name}` is a method of an object.", fix="write a function with def")
    if inspect.isbuiltin(function) or (isinstance(function, type) and not _is_ours(function, names or {})):
        raise Unportable(
            f"`{name}` is built into Python: there is no source of yours to send.",
            fix="write a function with def",
        )
    if not isinstance(entry, FunctionType) and not isinstance(function, type):
        raise Unportable(
            f"`{name}` is no function written with def: it is a {type(function).__name__}.",
            fix="write a function with def that calls it",
        )
    namespace = entry.__globals__ if names is None and isinstance(entry, FunctionType) else (names or {})
    known = _name_of(function, namespace) or name
    return _Gathering(namespace).complete(known, function, also)


def name_in(function: Any, names: Mapping[str, Any]) -> str:
    """The name under which the notebook knows a function. Errors: Unportable if it knows it by none."""
    if found := _name_of(function, names):
        return found
    said = getattr(function, "__name__", "") or type(function).__name__
    raise Unportable(
        f"`{said}` has no name in the notebook.", fix="write a function with def, and send it by its name"
    )


def _name_of(value: Any, names: Mapping[str, Any]) -> str:
    """The name under which the notebook knows `value`: its own where that is one of them."""
    own = getattr(value, "__name__", "")
    if names.get(own) is value:
        return str(own)
    return next((name for name, each in names.items() if each is value and not name.startswith("_")), "")


@dataclass
class _Part:
    """Lines of the gathered text that belong together, with their origins."""

    lines: list[str]
    origins: list[Origin | None]


@dataclass
class _Gathering:
    """The work of one `gather`: parts by name, in the order in which they must run."""

    names: Mapping[str, Any]
    imports: dict[str, None] = field(default_factory=dict)
    parts: list[_Part] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    future: bool = False

    def complete(self, name: str, function: Any, also: Iterable[str]) -> Gathered:
        """All that `function` needs, then the text."""
        self.seen.add(name)
        entry = self.add(name, function, ())
        for each in sorted(set(also) - self.seen):
            self.seen.add(each)
            self.add(each, self.names[each], ())
        lines = ["from __future__ import annotations"] if self.future else []
        lines += self.imports
        origins: list[Origin | None] = [None] * len(lines)
        for part in self.parts:
            lines += ["", "", *part.lines]
            origins += [None, None, *part.origins]
        return Gathered("\n".join(lines) + "\n", entry, tuple(origins))

    def add(self, name: str, value: Any, users: tuple[str, ...]) -> str:
        """Add what defines `name`, after all that it needs; returns the name it has in the text.

        `users` are the names that led here, for the message.
        """
        if isinstance(value, ModuleType):
            self.imports[_import_of(value, name)] = None
            return name
        if (line := importable(value, name)) is not None:
            self.imports[line] = None
            return name
        function = inspect.unwrap(value) if callable(value) and not isinstance(value, type) else value
        if isinstance(function, FunctionType):
            return self.add_function(name, function, users)
        if isinstance(value, type):
            self.add_definition(name, class_source(value, self.names, name, users), users)
            return name
        if (literal := _literal(value)) is not None:
            self.parts.append(_Part([f"{name} = {literal}"], [None]))
            return name
        self.add_statement(name, value, users)
        return name

    def add_function(self, name: str, function: FunctionType, users: tuple[str, ...]) -> str:
        code = function.__code__
        self.future = self.future or bool(code.co_flags & _ANNOTATIONS)
        if code.co_freevars:
            inner = ", ".join(f"`{each}`" for each in code.co_freevars)
            raise Unportable(
                f"{what(name, users)} was made inside another function and keeps {inner} from there, "
                "which its source does not show.",
                fix=f"define it at the left margin of a cell, and give it {inner} as a parameter",
            )
        definition = function_source(function, name, users)
        self.add_definition(name, definition, users)
        own = getattr(
            definition.node, "name", name
        )  # a lambda's line is an assignment: it has no name of its own
        if own != name:  # known by another name than it was defined with (`second = first`)
            self.parts.append(_Part([f"{name} = {own}"], [None]))
        return name

    def add_statement(self, name: str, value: Any, users: tuple[str, ...]) -> None:
        said = what(name, users)
        if reason := _bound(value):
            ours = type(value).__module__.startswith("labsupport")
            raise Unportable(
                f"{said} is {_article(type(value).__name__)}, {reason}: it cannot be sent elsewhere.",
                fix=_PLAIN if ours else "make it inside the function, or take it as a parameter",
            )
        definition = assignment(name, self.names)
        if definition is None:
            raise Unportable(
                f"{said} is {_article(type(value).__name__)}, which is no plain value, "
                "and no cell has a line that makes it.",
                fix="make it inside the function, or take it as a parameter",
            )
        self.add_definition(name, definition, users)

    def add_definition(self, name: str, definition: Definition, users: tuple[str, ...]) -> None:
        text = "\n".join(definition.lines)
        for chain in attribute_chains(definition.node):
            self._submodules(chain)
        for needed in free_names(text, future=self.future):
            if needed in self.seen or needed not in self.names or _is_builtin(needed, self.names[needed]):
                continue  # a name that nobody defines is the learner's NameError, told where it happens
            self.seen.add(needed)
            self.add(needed, self.names[needed], (*users, name))
        self.parts.append(_Part(definition.lines, list(definition.origins)))

    def _submodules(self, chain: tuple[str, ...]) -> None:
        """`concurrent.futures.wait` needs `import concurrent.futures`; the name `concurrent` alone does not tell."""
        module = self.names.get(chain[0])
        for length in range(2, len(chain) + 1):
            if not isinstance(module, ModuleType):
                return
            full = f"{module.__name__}.{chain[length - 1]}"
            module = sys.modules.get(full)
            if module is not None:
                self.imports[f"import {full}"] = None


def _is_builtin(name: str, value: Any) -> bool:
    """Whether Python itself gives this name this meaning; IPython wraps some of those, such as open."""
    own = inspect.unwrap(value) if callable(value) and not isinstance(value, type) else value
    return hasattr(builtins, name) and own is getattr(builtins, name)


def _article(word: str) -> str:
    return f"an {word}" if word[:1].lower() in "aeiou" else f"a {word}"


def _bound(value: Any) -> str:
    """Why a value belongs to this process, or empty."""
    for base in type(value).__mro__:
        package = base.__module__.partition(".")[0].lstrip("_")
        if package in _BOUND and not _plain_instance(value):
            return _BOUND[package]
    return ""


def _plain_instance(value: Any) -> bool:
    """A record of ours or of the client's (a dataclass, a model) is made by a statement like any other value."""
    return any(
        hasattr(type(value), mark) for mark in ("__dataclass_fields__", "model_fields", "openapi_types")
    )


def _import_of(module: ModuleType, name: str) -> str:
    full = module.__name__
    return f"import {full}" if full == name else f"import {full} as {name}"


@cache
def _package_can_be_imported(package: str) -> bool:
    """Whether another Python finds this package; a lab's checks and notebooks are in sys.modules alone."""
    if package in sys.builtin_module_names or package in sys.stdlib_module_names:
        return True
    spec = PathFinder.find_spec(package)
    return spec is not None and spec.origin is not None


def importable(value: Any, name: str) -> str | None:
    """The line that imports `value` as `name`, if it lives in a module that others can import."""
    module = getattr(value, "__module__", None)
    own = getattr(value, "__qualname__", None) or getattr(value, "_name", None)
    if not isinstance(module, str) or not isinstance(own, str) or module in ("__main__", "builtins"):
        return None
    if not _package_can_be_imported(module.partition(".")[0]):
        return None
    found: Any = sys.modules.get(module)
    for part in own.split("."):
        found = getattr(found, part, None)
    if found is not value:
        return None
    if "." in own:
        outer, inner = own.split(".", 1)
        return f"from {module} import {outer}; {name} = {outer}.{inner}"
    return f"from {module} import {own}" if own == name else f"from {module} import {own} as {name}"


def _literal(value: Any) -> str | None:
    """Python text for a plain value (numbers, texts, and tuples, lists, sets, dictionaries of them), or None."""
    try:
        text = repr(value)
        made = ast.literal_eval(text) if _only_plain(value) else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return text if made == value and type(made) is type(value) else None


def _only_plain(value: Any) -> bool:
    if type(value) in (list, tuple, set):
        return all(_only_plain(each) for each in value)
    if type(value) is dict:
        return all(_only_plain(key) and _only_plain(each) for key, each in value.items())
    return value is None or value is ... or type(value) in (bool, int, float, complex, str, bytes)


def _is_ours(value: type, names: Mapping[str, Any]) -> bool:
    return value.__module__ == "__main__" or any(each is value for each in names.values())
