"""Which ids the cluster's processes have on the host. Standard library only.

An ordinary user can map one id of the user namespace, its root, to himself: "single". Where the administrator gave him
subordinate ids, these are the namespace's other users, and its root is still he himself: "subordinate"; what belongs
to the cluster's root needs no change of owner then. Root could map itself the same way, but then files of /proc/sys
that belong to the machine's root would be writable to a container's root; so the cluster of a machine's root runs on a
range of ids that no account has: "range". Sources: user_namespaces(7), newuidmap(1).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from labsupport.cluster.embedded import subids

# Above the ranges that useradd hands out (subordinate ids end at 600,100,000) and above those of systemd-nspawn.
ROOT_ID_BASE = 2_000_000_000
ROOT_ID_COUNT = 65_536


@dataclass(frozen=True)
class IdMap:
    """What goes into uid_map and gid_map: `count` ids from 0 inside are those from `base` outside.

    Of kind "subordinate" also: id 1 inside is `sub_uid` (as a group `sub_gid`) outside, and so on up to 65,535.
    """

    kind: str  # "single", "subordinate" or "range"
    uid_base: int
    gid_base: int
    count: int
    sub_uid: int = 0
    sub_gid: int = 0

    def uid_lines(self) -> str:
        """The content of uid_map."""
        return self._lines(self.uid_base, self.sub_uid)

    def gid_lines(self) -> str:
        """The content of gid_map."""
        return self._lines(self.gid_base, self.sub_gid)

    def _lines(self, base: int, sub: int) -> str:
        rest = f"\n{self.count} {sub} {subids.COUNT}" if self.kind == "subordinate" else ""
        return f"0 {base} {self.count}{rest}"

    def commands(self, pid: int) -> tuple[tuple[str, ...], ...]:
        """What writes this map for process `pid` where its ids are not the caller's to map; () where they are."""
        if self.kind != "subordinate":
            return ()
        texts = (self.uid_lines(), self.gid_lines())
        return tuple(
            (program, str(pid), *text.split()) for program, text in zip(subids.PROGRAMS, texts, strict=True)
        )

    def inside(self) -> IdMap:
        """The same ids for a user namespace within one that has this map; in the same pieces, as it must be."""
        rest = self.count if self.kind == "subordinate" else 0
        return IdMap(self.kind, 0, 0, self.count, rest, rest)

    @property
    def owner_base(self) -> int | None:
        """The host id that must own what the node's root owns; None where that is the caller anyway."""
        return self.uid_base if self.kind == "range" else None


def single() -> IdMap:
    """The map that every user can have."""
    return IdMap("single", os.geteuid(), os.getegid(), 1)


def for_this_user() -> IdMap:
    """The best map that the calling user is entitled to; that of subordinate ids is known to work when it was tried."""
    if os.geteuid() == 0:
        if covers(Path("/proc/self/uid_map").read_text(), ROOT_ID_BASE, ROOT_ID_COUNT):
            return IdMap("range", ROOT_ID_BASE, ROOT_ID_BASE, ROOT_ID_COUNT)
        # A root that is none on the machine itself: in a rootless container it has few ids to give.
        return single()
    mine = subids.of_this_user()
    if mine.lacking:
        return single()
    return IdMap("subordinate", os.geteuid(), os.getegid(), 1, mine.uid, mine.gid)


def to_start_with(mine: IdMap, recorded: IdMap | None) -> IdMap | None:
    """The map for a cluster that was started with `recorded` before (None: never); None where that was another user.

    `mine` is the best that the caller can have. A cluster keeps the one that its files were made with.
    """
    if recorded is None:
        return mine
    if recorded.uid_base != mine.uid_base:
        return None
    # His group may be another one today.
    return IdMap("single", mine.uid_base, mine.gid_base, 1) if recorded.kind == "single" else recorded


def covers(uid_map: str, first: int, count: int) -> bool:
    """Whether a uid_map's lines hold all `count` ids from `first` on."""
    lines = [tuple(int(number) for number in line.split()) for line in uid_map.splitlines()]
    return any(inside <= first and first + count <= inside + length for inside, _, length in lines)
