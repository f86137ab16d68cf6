"""Who a container's process is: from a Pod's securityContext, the image and the image's /etc/passwd and group.

Source: the comments of LinuxContainerSecurityContext and SupplementalGroupsPolicy in the CRI's api.proto.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HIGHEST_ID = 65_535  # in a node with real ids; with one id any number can be shown


@dataclass(frozen=True)
class Account:
    """One line of /etc/passwd."""

    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True)
class Accounts:
    """The users of an image and which groups list them as members."""

    users: tuple[Account, ...] = ()
    members: tuple[tuple[int, tuple[str, ...]], ...] = ()

    def by_uid(self, uid: int) -> Account | None:
        """The first account with this number."""
        return next((user for user in self.users if user.uid == uid), None)

    def by_name(self, name: str) -> Account | None:
        """The account with this name."""
        return next((user for user in self.users if user.name == name), None)

    def groups_of(self, name: str) -> tuple[int, ...]:
        """The groups that list the user as a member."""
        return tuple(gid for gid, names in self.members if name in names)


@dataclass(frozen=True)
class Identity:
    """What a process runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def read(root: Path) -> Accounts:
    """The accounts of the image whose root is `root`; missing files mean none."""
    return Accounts(parse_passwd(_text(root / "etc/passwd")), parse_group(_text(root / "etc/group")))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def parse_passwd(text: str) -> tuple[Account, ...]:
    """The lines of a passwd(5) file that are well formed."""
    users = []
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= 6 and fields[2].isdigit() and fields[3].isdigit():
            users.append(Account(fields[0], int(fields[2]), int(fields[3]), fields[5]))
    return tuple(users)


def parse_group(text: str) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """The lines of a group(5) file as (gid, member names)."""
    groups = []
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= 4 and fields[2].isdigit():
            groups.append((int(fields[2]), tuple(name for name in fields[3].split(",") if name)))
    return tuple(groups)


def identity(
    accounts: Accounts,
    *,
    user: int | None,
    username: str,
    image_user: int,
    group: int | None,
    supplemental: tuple[int, ...],
    strict_groups: bool,
    real_ids: bool,
) -> Identity:
    """Resolve the ids; raises LookupError for a user name the image does not have, ValueError for an id too high.

    With one id in the node's user namespace (`real_ids` false) there are no supplementary groups: one user and one
    group can be shown.
    """
    if user is None and username:
        account = accounts.by_name(username)
        if account is None:
            raise LookupError(f"unable to find user {username}: no matching entries in passwd file")
    else:
        account = accounts.by_uid(image_user if user is None else user)
    uid = account.uid if account else (image_user if user is None else user or 0)
    home = account.home if account else "/"
    gid = group if group is not None else (account.gid if account else 0)
    if not real_ids:
        return Identity(uid, gid, (), home)
    groups = set(supplemental)
    if account and not strict_groups:
        groups |= set(accounts.groups_of(account.name))
    for what, number in (("user", uid), *(("group", group) for group in sorted(groups | {gid}))):
        if number > HIGHEST_ID:
            raise ValueError(f"{what} {number}: this node has the ids 0 to {HIGHEST_ID} alone")
    return Identity(uid, gid, tuple(sorted(groups | {gid})), home)
