"""What a member of a Quorum has said last, as `failover.py` hands it to a learner's function."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What a member has said last of itself, and how long ago.

    `age`: in seconds; `role`: what it takes itself for (leader, follower, candidate); `leader`: whom it takes for the
    leader in `term`, "" for nobody; `voters`: how many members have a vote; `reaches`: how many of these it reaches,
    itself among them.
    """

    name: str
    age: float
    role: str
    term: int
    leader: str
    voters: int
    reaches: int
