"""Which ids the cluster's processes have on the host. Standard library only.

An ordinary user can map one id of the user namespace, its root, to himself: "single". Root could map itself the same
way, but then files of /proc/sys that belong to the machine's root would be writable to a container's root; so the
cluster of a machine's root runs on a range of ids that no account has: "range".
Source: user_namespaces(7).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

# Above the ranges that useradd hands out (subordinate ids end at 600,100,000) and above those of systemd-nspawn.
ROOT_ID_BASE = 2_000_000_000
ROOT_ID_COUNT = 65_536


@dataclass(frozen=True)
class IdMap:
    """One line of uid_map and gid_map: `count` ids from 0 inside are those from `base` outside."""

    kind: str  # "single" or "range"
    uid_base: int
    gid_base: int
    count: int

    def uid_line(self) -> str:
        """The content of uid_map."""
        return f"0 {self.uid_base} {self.count}"

    def gid_line(self) -> str:
        """The content of gid_map."""
        return f"0 {self.gid_base} {self.count}"

    @property
    def owner_base(self) -> int | None:
        """The host id that must own what the node's root owns; None where that is the caller anyway."""
        return self.uid_base if self.kind == "range" else None


def for_this_user() -> IdMap:
    """The map that the calling user can have without installing anything."""
    if os.geteuid() == 0 and covers(Path("/proc/self/uid_map").read_text(), ROOT_ID_BASE, ROOT_ID_COUNT):
        return IdMap("range", ROOT_ID_BASE, ROOT_ID_BASE, ROOT_ID_COUNT)
    # Also for a root that is none on the machine itself: in a rootless container it has few ids to give.
    return IdMap("single", os.geteuid(), os.getegid(), 1)


def covers(uid_map: str, first: int, count: int) -> bool:
    """Whether a uid_map's lines hold all `count` ids from `first` on."""
    lines = [tuple(int(number) for number in line.split()) for line in uid_map.splitlines()]
    return any(inside <= first and first + count <= inside + length for inside, _, length in lines)
