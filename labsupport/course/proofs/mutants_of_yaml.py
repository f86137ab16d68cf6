"""Mutants of YAML: each field or list item is dropped, each scalar altered within its type.

A manifest may be a file, or a text in a program. Of a text in a program only what stands on a learner's own lines is
changed: what the shipped cell gives is not for checks to look at.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

import yaml

CHANGE = 24  # characters of a value that a name shows

# In manifests `{namespace}` and `{name:crd}` are filled in before YAML is read; as YAML they would be mappings. So they
# are made words for a while, as x--namespace--x. (The expressions of an f-string are numbers: x--0--x.)
_PLACEHOLDER = re.compile(r"\{(namespace|group|name:[-.a-z0-9]+)\}")
_WORD = re.compile(r"x--(namespace|group|name\.[-.a-z0-9]+)--x")

# Whether any of the lines of a text, from the first to the second (from 0), counts.
Mine = Callable[[int, int], bool]
Path = tuple[str | int, ...]
# By document and path: the line where it begins, the one where its value does, and the value's last.
Spans = dict[tuple[int, Path], tuple[int, int, int]]


def everything(first: int, last: int) -> bool:
    """All lines count."""
    return True


def on_lines(begins: int, lines: Collection[int] | None) -> Mine:
    """Those lines of a text count that are on one of `lines` of the file (from 1), in which it begins at `begins`."""
    if lines is None:
        return everything
    return lambda first, last: any(begins + number in lines for number in range(first, last + 1))


def is_manifest(text: str) -> bool:
    """Whether a text is YAML of which each document is a mapping over several lines, as manifests are."""
    if "\n" not in text.strip():
        return False
    try:
        documents = _read(protected(text))
    except yaml.YAMLError:
        return False
    return bool(documents) and all(isinstance(document, dict) for document in documents)


def of_text(
    text: str, shown: Callable[[str], str] = str, mine: Mine = everything
) -> Iterator[tuple[str, str]]:
    """The name and text of each mutant. `shown` turns what stands for something else back, for the names.

    Errors: YAMLError if it is no YAML.
    """
    made = _of_documents(protected(text), lambda words: shown(exposed(words)), mine)
    for name, documents in made:
        yield name, exposed(dumped(documents))


def normal(text: str) -> str:
    """The text as mutants are written, to be compared with them."""
    return exposed(dumped(_read(protected(text))))


def protected(text: str) -> str:
    """With words for the placeholders."""
    return _PLACEHOLDER.sub(lambda match: f"x--{match[1].replace(':', '.')}--x", text)


def exposed(text: str) -> str:
    """With the placeholders again."""
    return _WORD.sub(lambda match: "{" + match[1].replace("name.", "name:", 1) + "}", text)


def dumped(documents: list[Any]) -> str:
    """Documents as text."""
    return yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True)


def _read(text: str) -> list[Any]:
    return [document for document in yaml.safe_load_all(text) if document is not None]


def _of_documents(text: str, shown: Callable[[str], str], mine: Mine) -> Iterator[tuple[str, list[Any]]]:
    documents, spans = _read(text), _spans(text)

    def own(index: int, path: Path, *, value: bool = False) -> bool:
        begins, value_begins, ends = spans[index, path]
        return mine(value_begins, ends) if value else mine(begins, begins)

    for index, document in enumerate(documents):
        title = shown(_title(document))
        if len(documents) > 1 and own(index, ()):
            yield f"{title} dropped", [*documents[:index], *documents[index + 1 :]]
        for path in _paths(document):
            where = f"{title} {shown(_words(path))}"
            if own(index, path):
                dropped = copy.deepcopy(documents)
                del _at(dropped[index], path[:-1])[path[-1]]
                yield f"{where} dropped", dropped
            value = _at(document, path)
            if (other := altered(value)) is not None and own(index, path, value=True):
                changed = copy.deepcopy(documents)
                _at(changed[index], path[:-1])[path[-1]] = other
                yield f"{where} {_cut(shown(_plain(value)))} -> {_cut(shown(_plain(other)))}", changed


def _spans(text: str) -> Spans:
    found: Spans = {}

    def visit(index: int, node: yaml.Node, path: Path, begins: int) -> None:
        # A value in block style ends where the next thing begins: at the start of a line that is not its own.
        end = node.end_mark.line - (node.end_mark.column == 0 and node.end_mark.line > node.start_mark.line)
        found[index, path] = (begins, node.start_mark.line, end)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                visit(index, value, (*path, _key(key)), key.start_mark.line)
        elif isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                visit(index, item, (*path, number), item.start_mark.line)

    nodes = [node for node in yaml.compose_all(text, yaml.SafeLoader) if node.tag != "tag:yaml.org,2002:null"]
    for index, node in enumerate(nodes):
        visit(index, node, (), node.start_mark.line)
    return found


def _key(node: yaml.Node) -> Any:
    """A key as reading the document gives it."""
    return yaml.SafeLoader("").construct_object(node, deep=True)


def _title(document: Any) -> str:
    if not isinstance(document, dict):
        return "document"
    metadata = document.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    return "/".join(str(part) for part in (document.get("kind", "document"), name) if part)


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """The way to each field and list item, outer ones first."""
    children: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    for key, child in children:
        yield (*path, key)
        yield from _paths(child, (*path, key))


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def _words(path: Path) -> str:
    words = ""
    for key in path:
        if isinstance(key, int):
            words += f"[{key}]"
        else:
            words += ("." if words else "") + (f"[{key}]" if "." in key or "/" in key else str(key))
    return words


def altered(value: Any) -> Any:
    """Another value of the same type; None where there is none that means anything."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return _other_text(value)
        case _:
            return None


def _other_text(text: str) -> str:
    """Another text; quantities and durations stay what they are (`5s` becomes `6s`)."""
    if match := re.fullmatch(r"(\d+)([a-zA-Z%]*)", text):
        return f"{int(match[1]) + 1}{match[2]}"
    return f"{text}-x" if text else "x"


def _plain(value: Any) -> str:
    return re.sub(r"\s+", " ", str(value).lower() if isinstance(value, bool) else str(value))


def _cut(text: str) -> str:
    # The end of a long text is where the change is.
    return text if len(text) <= CHANGE else f"...{text[-CHANGE:]}"
