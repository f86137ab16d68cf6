"""Copyright files of Debian packages unpacked into a tree. Debian Policy, 12.5: each package has one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from . import Package, Text

DOCUMENTATION = "usr/share/doc"
COMMON = "usr/share/common-licenses"


def unpacked(root: Path, packages: Mapping[str, str], architecture: str, release: str = "") -> list[Package]:
    """The packages (name to version) of a tree, by name, with their copyright files and what these refer to."""
    found = []
    for name in sorted(packages):
        texts = texts_of(root, name)
        names = sorted(
            {line for text in texts for line in named_licences(text.content.decode(errors="replace"))}
        )
        distribution = f"&distro=debian-{release}" if release else ""
        found.append(
            Package(
                name=name,
                version=packages[name],
                purl=f"pkg:deb/debian/{quote(name)}@{quote(packages[name])}?arch={architecture}{distribution}",
                texts=texts,
                remark=f"Debian's copyright file names: {', '.join(names)}" if names else "",
            )
        )
    return found


def texts_of(root: Path, package: str) -> tuple[Text, ...]:
    """A package's copyright file, and the common licences that it says to be found elsewhere on the system."""
    file = within(root, f"{DOCUMENTATION}/{package}/copyright")
    if file is None:
        return ()
    content = file.read_bytes()
    texts = [Text("copyright", content)]
    for name in sorted(set(re.findall(rb"/usr/share/common-licenses/([A-Za-z0-9][A-Za-z0-9.+-]*)", content))):
        common = within(root, f"{COMMON}/{name.decode().rstrip('.')}")
        if common is not None and all(text.name != f"common-licenses/{common.name}" for text in texts):
            texts.append(Text(f"common-licenses/{common.name}", common.read_bytes()))
    return tuple(texts)


def named_licences(copyright_file: str) -> list[str]:
    """Short names in `License:` fields of a machine-readable copyright file (DEP 5); [] for another form."""
    if "packaging-manuals/copyright-format" not in copyright_file[:1000]:
        return []
    return re.findall(r"^License:[ \t]*(\S.*?)[ \t]*$", copyright_file, re.MULTILINE)


def within(root: Path, path: str) -> Path | None:
    """The regular file that `path` leads to with `root` as /, or None: links never lead out of the tree."""
    pending, current, followed = list(PurePosixPath(path).parts), root, 0
    while pending:
        part = pending.pop(0)
        if part in ("/", "."):
            current = root if part == "/" else current
            continue
        if part == "..":
            current = current.parent if current != root else root
            continue
        step = current / part
        if step.is_symlink():
            followed += 1
            if followed > 20:
                return None
            pending = [*PurePosixPath(step.readlink()).parts, *pending]
            continue
        current = step
    return current if current.is_file() else None
