"""Which release speaks which versions of the members' protocol, and what that allows.

A cluster's version stands in its log, is raised only when all members speak it, and is never lowered. Hence a member
can take part exactly if its release speaks the cluster's version.
"""

from __future__ import annotations

from labsupport.quorum.releases import RELEASES

PROTOCOLS = {each.name: (each.oldest, each.newest) for each in RELEASES.values()}


def speaks(release: str, protocol: int) -> bool:
    """Whether members of `release` can take part in a cluster of that version; of an unknown release they cannot."""
    lowest, highest = PROTOCOLS.get(release, (0, -1))
    return lowest <= protocol <= highest


def refusal(release: str, protocol: int) -> tuple[str, str] | None:
    """Why a cluster of version `protocol` cannot go to `release`: a condition's reason and message; None if it can."""
    if release not in PROTOCOLS:
        known = ", ".join(PROTOCOLS)
        return "ReleaseUnknown", f"this operator knows no release {release}; it knows {known}"
    if speaks(release, protocol):
        return None
    lowest, highest = PROTOCOLS[release]
    if highest < protocol:
        return "ProtocolDowngrade", (
            f"the members speak protocol {protocol} by now, {release} speaks {highest} at most: a protocol is never "
            "lowered; restore a back-up into a new Quorum of that release"
        )
    by = [each for each in PROTOCOLS if speaks(each, protocol) and PROTOCOLS[each][1] >= lowest]
    way = f"; go by {by[0]} first" if by else ""
    return "ProtocolTooOld", f"the members speak protocol {protocol}, {release} begins with {lowest}{way}"
