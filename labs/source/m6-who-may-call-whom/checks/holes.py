"""m6-holes: what the learner says gets past a policy that forbids, against the same attacks made just now."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed

from .attacks import ATTACKS, getting_through

BY_WORDS = {"a forged header", "a stolen token", "another host name"}
BY_PATH = {"a double slash", "a dot segment", "a parameter in the path"}


def holes(probe: Probe) -> Outcome:
    """m6-holes: the set `through`."""
    through = probe.value("through", set, 'a set of texts such as {"a double slash"}')
    said = {str(each).strip().casefold() for each in through}
    if unknown := sorted(said - set(ATTACKS)):
        return not_yet(
            "m6-holes/no-such-attack",
            f"`{unknown[0]}` is none of the attacks.",
            "the set through",
            "Write them as they stand in the table.",
        )
    truth = getting_through(probe)
    where = f"{len(ATTACKS)} attacks, made just now"
    if not truth:
        return not_yet(
            "m6-holes/closed",
            "No attack gets through any more.",
            where,
            'The question is about the policy that was there: `lab.start("m6", at="m6-holes")` brings it back.',
        )
    if not said:
        return not_yet(
            "m6-holes/nothing",
            f"The set is empty. Of {len(ATTACKS)} attacks, the ledger's service had more than none.",
            where,
            "A policy that forbids says what is forbidden. What does it say of a caller without a name, and of what it "
            "does not mention?",
        )
    if wrong := said - truth:
        kind = "words" if wrong <= BY_WORDS else "paths" if wrong <= BY_PATH else "others"
        why = {
            "words": "What a request says of its sender is not what its proxy has seen of the certificate.",
            "paths": "Which path does the proxy compare: the one that was sent, or the one it hands on?",
            "others": "Make the attack once more, and look at what came back, and from whom.",
        }[kind]
        return not_yet(
            f"m6-holes/{kind}",
            f"{len(wrong)} of the {len(said)} attacks in your set are refused.",
            where,
            why,
        )
    if missing := truth - said:
        return not_yet(
            "m6-holes/missed",
            f"All {len(said)} attacks in your set get through, and {len(missing)} more.",
            where,
            "Go through what a rule can name: who, by which method, at which path. Where is the list not complete?",
        )
    return passed(
        f"{len(truth)} of the {len(ATTACKS)} attacks get through, {len(ATTACKS) - len(truth)} are refused.",
        where,
    )
