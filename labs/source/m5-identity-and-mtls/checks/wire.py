"""m5-wire: what the learner says can be read on the wire, against what was just taken from it."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons import wire as lesson

from .shop import load

THINGS = (
    "addresses",
    "ports",
    "sizes",
    "offered protocols",
    "path",
    "headers",
    "answer",
    "caller's identity",
    "server's identity",
)
CERTIFIED = {"caller's identity", "server's identity"}
SAID = {"path", "headers", "answer"}


def readable(taken: lesson.Wire) -> set[str]:
    """The things that can be read in what was taken."""
    begun = [each for each in taken.conversations if each.opened and (each.there or each.back)]
    found = {"addresses", "ports"} if taken.conversations else set()
    found |= {"sizes"} if taken.size else set()
    found |= {"offered protocols"} if any(each.hello.protocols for each in begun) else set()
    found |= {"path"} if taken.contains("/stock/tea") else set()
    found |= {"headers"} if taken.contains("HTTP/1.1") or taken.contains("Content-Type") else set()
    found |= {"answer"} if taken.contains('"left"') else set()
    # A certificate that is not encrypted has the SPIFFE ID in it, as text.
    found |= CERTIFIED if taken.contains("spiffe://") else set()
    return found


def wire(probe: Probe) -> Outcome:
    """m5-wire: the set `visible`."""
    visible = probe.value("visible", set, 'a set of texts such as {"path", "ports"}')
    said = {str(each).strip().casefold() for each in visible}
    if unknown := sorted(said - set(THINGS)):
        return not_yet(
            "m5-wire/no-such-thing",
            f"`{unknown[0]}` is none of the nine things.",
            "the set visible",
            "Write them as they stand in the table.",
        )
    taken = lesson.watch(
        probe.api,
        probe.namespace,
        "inventory",
        lambda address: load(probe, f"http://{address}:8080/stock/tea", requests=4, keep=False),
        seconds=1.0,
    )
    plain, truth = taken.plain(), readable(taken)
    where = f"{taken.size} bytes of {len(taken.conversations)} connections, taken at {taken.pod} just now"
    if plain:
        return not_yet(
            "m5-wire/in-the-clear",
            f"{plain[0].client} spoke to the inventory in the clear: {plain[0].reading}",
            where,
            'The question is about mutual TLS: `lab.start("m5", at="m5-wire")` brings it back.',
        )
    if not said:
        return not_yet(
            "m5-wire/nothing",
            f"The set is empty. {len(taken.conversations)} connections were seen, and they could be counted.",
            where,
            "Encrypted is what is inside of a connection. What must a switch or a router still know?",
        )
    if wrong := said - truth:
        kind = "identity" if wrong <= CERTIFIED else "content"
        seen = (
            "no certificate could be read, of neither side"
            if kind == "identity"
            else "nothing of what the two said to each other could be read"
        )
        return not_yet(
            f"m5-wire/{kind}",
            f"{len(wrong)} of the {len(said)} things in your set cannot be read: {seen}.",
            where,
            "Which messages of the greeting are listed as in the clear by `lab.wire`, and what is in those?"
            if kind == "identity"
            else "Ask what was taken: `.contains(...)` with a word that you know was sent.",
        )
    if missing := truth - said:
        return not_yet(
            "m5-wire/missed",
            f"All {len(said)} things in your set can be read, and {len(missing)} more.",
            where,
            "Read the last column of `lab.wire` once more, and the columns before it.",
        )
    return passed(
        f"{len(truth)} of the nine things can be read by anybody, {len(THINGS) - len(truth)} cannot.", where
    )
