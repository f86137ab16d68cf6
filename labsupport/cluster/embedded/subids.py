"""Subordinate ids: those that the machine's administrator lets a user give to his own processes.

They are named in /etc/subuid and /etc/subgid, and two programs with the rights for it put them into a user namespace:
newuidmap and newgidmap (package uidmap). Here is what this machine has of both; whether it works is found out by trying
(removal.py). Standard library only. Sources: subuid(5), newuidmap(1).
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

COUNT = 65_535  # with the user himself as id 0 they make the 16 bits that images take for granted ("nobody" is 65534)
PROGRAMS = ("newuidmap", "newgidmap")
FILES = {"uid": Path("/etc/subuid"), "gid": Path("/etc/subgid")}
LOWEST = 100_000  # where useradd begins (login.defs(5), SUB_UID_MIN)


@dataclass(frozen=True)
class Line:
    """One line of /etc/subuid or /etc/subgid: `count` ids from `first` on belong to `owner` (a name or a number)."""

    owner: str
    first: int
    count: int


@dataclass(frozen=True)
class Setup:
    """The first subordinate uid and gid of a user; or what this machine lacks for them, and the step that mends it."""

    uid: int = 0
    gid: int = 0
    lacking: str = ""
    fix: str = ""


def parse(text: str) -> tuple[Line, ...]:
    """The lines of a subuid(5) file that are well formed; comments and whatever else is there say nothing."""
    lines = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(":")]
        if len(fields) == 3 and fields[0] and all(field.isdecimal() for field in fields[1:]):
            lines.append(Line(fields[0], int(fields[1]), int(fields[2])))
    return tuple(lines)


def of_user(lines: Sequence[Line], name: str, uid: int) -> tuple[Line, ...]:
    """The lines of a user, by login name or by number; gids as well are given to a user, not to a group."""
    return tuple(line for line in lines if line.owner in (name, str(uid)))


def shared_with(lines: Sequence[Line], first: int, name: str, uid: int) -> tuple[str, ...]:
    """Who else was given one of the ids from `first` on; newuidmap does not care, and each has power over the other."""
    mine = of_user(lines, name, uid)
    return tuple(
        line.owner
        for line in lines
        if line not in mine and line.first < first + COUNT and first < line.first + line.count
    )


def free_from(*tables: Sequence[Line]) -> int:
    """The first id above those that have been given to anybody."""
    return max((line.first + line.count for table in tables for line in table), default=LOWEST)


def setup(name: str, uid: int, texts: tuple[str, str], missing: Sequence[str]) -> Setup:
    """What a user has. `texts`: of /etc/subuid and /etc/subgid; `missing`: those of PROGRAMS that are not there."""
    if not name:
        return Setup(lacking=f"user {uid} has no account, and so no subordinate ids")
    tables = [parse(text) for text in texts]
    firsts, lacking, fixes = [], [], []
    if missing:
        lacking.append(f"there is no {' and no '.join(missing)}")
        fixes.append("sudo apt-get install uidmap")
    for file, table in zip(FILES.values(), tables, strict=True):
        most = max((line.count for line in of_user(table, name, uid)), default=0)
        enough = [line.first for line in of_user(table, name, uid) if line.count >= COUNT]
        firsts += enough[:1]
        if not enough:
            lacking.append(
                f"{file} gives {name} {most or 'none'}" + (f", {COUNT} are needed" if most else "")
            )
    if len(firsts) < len(tables):
        first = max(LOWEST, free_from(*tables))
        both = f"{first}-{first + COUNT}"
        fixes.append(f"sudo usermod --add-subuids {both} --add-subgids {both} {name}")
    if lacking:
        return Setup(lacking="; ".join(lacking), fix=" && ".join(fixes))
    return Setup(uid=firsts[0], gid=firsts[1])


def of_this_user() -> Setup:
    """What the calling user has on this machine."""
    uid = os.geteuid()
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    return setup(account_of(uid), uid, (text_of("uid"), text_of("gid")), missing)


def account_of(uid: int) -> str:
    """The login name of a user, "" where there is none; newuidmap works for those alone who have one."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def text_of(kind: str) -> str:
    """What /etc/subuid ("uid") or /etc/subgid ("gid") says; "" where it is not there."""
    try:
        return FILES[kind].read_text(errors="replace")
    except OSError:
        return ""
