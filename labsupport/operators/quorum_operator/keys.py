"""The signing key: one ceremony makes it, further ones make new shares of it when who holds them changes."""

from __future__ import annotations

from collections.abc import Iterable

from labsupport.operators.quorum_operator import names
from labsupport.operators.quorum_operator.actions import Ceremony
from labsupport.operators.quorum_operator.health import Step, ailing, majority, well
from labsupport.operators.quorum_operator.observed import Key, Member, Observed, Voter


def threshold(seen: Observed, head: Member, holders: int) -> int:
    """How many of `holders` sign together: what is wanted, kept to more than half and to what there is.

    While members are to come, not more than lets as many shares be lost as in the end: three of three, on the way from
    two of three to three of five, would be a key that is gone with the first volume that is. Nor less than until now.
    """
    wanted, size = seen.quorum.spec.threshold, seen.quorum.spec.size
    if len(head.voters) < size:
        wanted = min(wanted, max(head.key.threshold, holders - (size - wanted)))
    return max(majority(holders), min(wanted, holders))


def number(key: Key) -> int:
    """The number of the last ceremony that succeeded, 0 before the first: they are named "UID/NUMBER"."""
    tail = key.ceremony.rpartition("/")[2]
    return int(tail) if tail.isdigit() else 0


def alive(seen: Observed, head: Member) -> list[Voter]:
    """The voters that hold a share of the present key and are well."""
    fit = well(seen, head.voters)
    return [each for each in fit if each.name in head.key.holders and not lost_share(seen, head, each.name)]


def lost_share(seen: Observed, head: Member, name: str) -> bool:
    """Whether a member that should hold a share says that it has none.

    Only its word of the present shares counts: while it is behind, it speaks of others.
    """
    said = seen.members[name].key if name in seen.members else None
    return bool(
        said
        and head.key.state == said.state == "ready"
        and said.epoch == head.key.epoch
        and name in head.key.holders
        and not said.holds_share
    )


def step(seen: Observed, head: Member, without: str = "") -> Step | None:
    """The ceremony that is due, for all voters but `without`; None where none is, or none is possible now."""
    key = head.key
    if key.state == "running":
        return Step(
            None, "Resharing" if key.public else "KeyCeremony", f"ceremony {key.ceremony} is under way"
        )
    # Whoever was blamed is left out until it is no member any more: with it, the next ceremony would fail as well.
    blamed = {name for name, _ in key.blamed}
    holders = [each for each in head.voters if each.name != without and each.name not in blamed]
    if len(holders) < majority(len(head.voters)):
        return None
    if key.public:
        return _again(seen, head, holders)
    if ailing(seen, holders):
        return Step(None, "KeyCeremony", f"the key's ceremony needs all members; {ailing(seen, holders)}")
    return Step(_ceremony(seen, head, holders), "KeyCeremony", "the members make their key")


def due(seen: Observed, head: Member, holders: Iterable[Voter]) -> str:
    """Why new shares are due for `holders`; "" where they are not."""
    wanted = {each.name for each in holders}
    key = head.key
    if missing := sorted(wanted - {*key.holders}):
        return f"{', '.join(missing)} held none"
    # A member that is about to come back on a new volume is waited for: new shares once, not twice.
    voting = {each.name for each in head.voters}
    returning = {names.pod(seen.quorum.name, each) for each in range(seen.quorum.spec.size)} - voting
    if returning:  # a member that was forgotten meanwhile has no name any more, just "#" and a number
        returning |= {each for each in key.holders if each.startswith("#")}
    if other := sorted({*key.holders} - wanted - returning):
        return f"{', '.join(other)} must hold none"
    if lost := sorted(name for name in wanted if lost_share(seen, head, name)):
        return f"{', '.join(lost)} lost its share"
    if key.threshold != (many := threshold(seen, head, len(wanted))):
        return f"{many} sign together from now on"
    return ""


def _again(seen: Observed, head: Member, holders: list[Voter]) -> Step | None:
    why = due(seen, head, holders)
    if not why or ailing(seen, holders) or len(alive(seen, head)) < head.key.threshold:
        return None
    return Step(_ceremony(seen, head, holders), "Resharing", f"new shares of the key: {why}")


def _ceremony(seen: Observed, head: Member, holders: list[Voter]) -> Ceremony:
    name = f"{seen.quorum.uid}/{number(head.key) + 1}"
    ids = tuple(sorted(each.id for each in holders))
    return Ceremony(head.name, name, threshold(seen, head, len(holders)), ids)
