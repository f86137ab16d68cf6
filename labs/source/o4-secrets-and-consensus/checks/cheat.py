"""o4-cheat: who cheated in the ceremony of which the lab's ConfigMap `minutes` tells, worked out from it anew."""

from __future__ import annotations

import json

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.quorum.keys.group import Point, Scalar, base
from labsupport.quorum.keys.polynomial import commitment_at

WORDS = ("wrong share", "false complaint")
WHERE = "ConfigMap minutes"


def truth(data: dict[str, str]) -> dict[int, str]:
    """Who cheated, and how: of each complaint either the dealer or whoever complains."""
    commitments = json.loads(data["commitments.json"])
    found = {}
    for each in json.loads(data["complaints.json"]):
        commitment = [Point.decode(bytes.fromhex(point)) for point in commitments[str(each["about"])]]
        share = Scalar.decode(bytes.fromhex(each["opened"]))
        if base(share) == commitment_at(commitment, each["by"]):
            found[each["by"]] = "false complaint"
        else:
            found[each["about"]] = "wrong share"
    return found


def cheat(probe: Probe) -> Outcome:
    """o4-cheat: the dictionary `cheats`."""
    named = probe.value("cheats", dict, 'a dictionary such as {3: "wrong share"}')
    said = {str(key).strip(): str(value).strip().casefold() for key, value in named.items()}
    minutes = probe.get("v1", "ConfigMap", "minutes")
    if minutes is None:
        return not_yet(
            "o4-cheat/no-minutes", "There are no minutes.", WHERE, "`lab.reset()` makes them anew."
        )
    right = {str(member): how for member, how in truth(minutes["data"]).items()}
    if wrong := sorted(set(said.values()) - set(WORDS)):
        words = " or ".join(f'"{each}"' for each in WORDS)
        return not_yet(
            "o4-cheat/no-such-cheat", f'"{wrong[0]}" is none of the ways.', "the dictionary cheats", words
        )
    if innocent := sorted(set(said) - set(right)):
        return not_yet(
            "o4-cheat/innocent",
            f"Member {innocent[0]} is named, and the minutes prove nothing of that kind.",
            WHERE,
            "To be accused proves nothing, nor does to accuse. What does the opened share prove?",
        )
    if missing := set(right) - set(said):
        return not_yet(
            "o4-cheat/missed",
            f"{len(said)} named, all of them rightly. Cheats that are not among them: {len(missing)}.",
            WHERE,
            "Each complaint is either right or a lie; each makes somebody a cheater.",
        )
    if other := sorted(member for member in right if said[member] != right[member]):
        return not_yet(
            "o4-cheat/how",
            f"Member {other[0]} did cheat, in another way.",
            WHERE,
            "Is it the one that complains, or the one that is complained of?",
        )
    return passed(f"{len(right)} members cheated, and they are named.", WHERE)
