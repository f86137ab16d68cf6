"""A new lab: an outline that builds, whose exercises work, and whose words say what goes in their place."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from labsupport.course.manifest import SOURCE, labs
from labsupport.errors import LabsError
from labsupport.paths import LABS

TEMPLATE = LABS / "template"
# Directories of the notebooks, by the first letter of the lab's id.
_PARTS = {"m": "mesh/", "o": "operators/"}


def scaffold(identifier: str, title: str, source: Path = SOURCE) -> list[Path]:
    """Write the outline of lab `identifier` to a directory of its own under `source`; returns its files.

    Errors: LabsError if the id cannot be one, or is taken.
    """
    if not re.fullmatch(r"[a-z]*[0-9]+[a-z]?", identifier):
        raise LabsError(f"{identifier!r} is no id of a lab.", fix="letters, then digits, all small: o3, m12")
    words = re.findall(r"[a-z0-9]+", title.lower())
    if not words or '"' in title or "\\" in title:
        raise LabsError(f"{title!r} cannot be a title.", fix='words, without " and \\')
    name = "-".join([identifier, *words])
    taken = [lab.directory for lab in labs() if lab.id == identifier]
    if taken or (source / name).exists():
        raise LabsError(f"There is a lab {identifier} already: {(taken or [source / name])[0]}")
    values = {"id": identifier, "title": title, "notebook": _PARTS.get(identifier[0], "") + name}
    written = []
    for path in sorted(TEMPLATE.rglob("*")):
        if not path.is_file() or "__pycache__" in path.parts:
            continue
        relative = path.relative_to(TEMPLATE)
        if relative.parts[0] in ("solutions", "wrong"):
            relative = Path(relative.parts[0], f"{identifier}-{relative.parts[1]}", *relative.parts[2:])
        target = source / name / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(Template(path.read_text(encoding="utf-8")).substitute(values), encoding="utf-8")
        written.append(target)
    return written
