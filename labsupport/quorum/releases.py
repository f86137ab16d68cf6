"""Which versions of the protocol each release speaks. One program is all of them: what differs is what it may say.

Protocol 1 is the base. From 2 on the leader tells the digest of its state, and a member whose own differs stops rather
than answer wrongly. From 3 on frames over 1 KiB are compressed (wire.frames). A release drops the oldest it knew.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

VARIABLE = "QUORUM_RELEASE"
DIGESTS_FROM = 2  # protocol


@dataclass(frozen=True)
class Release:
    """A release, the protocols that it speaks, and whether it is one that never gets ready (to try gates with)."""

    name: str
    oldest: int
    newest: int
    broken: bool = False


RELEASES = {
    each.name: each
    for each in (
        Release("1.0", 1, 1),
        Release("1.1", 1, 2),
        Release("1.1-broken", 1, 2, broken=True),
        Release("2.0", 2, 3),
    )
}


def current() -> Release:
    """The release that the environment names; the newest good one if it names none.

    Raises ValueError for one that is unknown.
    """
    name = os.environ.get(VARIABLE, "") or "2.0"
    if name not in RELEASES:
        raise ValueError(f"{VARIABLE}={name}: known are {', '.join(RELEASES)}")
    return RELEASES[name]
