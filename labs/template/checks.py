"""The checks of lab ${id}: say in a sentence what they look at."""

from __future__ import annotations

import random
from collections.abc import Callable

from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed

ROUNDS = 30
NAMES = ("anchor", "bell", "compass", "deck", "engine", "fender")


def reply(probe: Probe) -> Outcome:
    """${id}-reply: a ConfigMap `reply` whose key `to` names another ConfigMap of the namespace."""
    found = probe.get("v1", "ConfigMap", "reply")
    if found is None:
        return not_yet(
            "${id}-reply/missing",
            "There is no ConfigMap reply in your namespace.",
            f"ConfigMaps in {probe.namespace}",
            "`lab.apply` puts objects there; kubectl needs `-n` with `lab.namespace`.",
        )
    target = (found.get("data") or {}).get("to")
    if not target:
        return not_yet(
            "${id}-reply/no-key",
            f"The ConfigMap reply says nothing under to; its keys are {sorted(found.get('data') or {})}.",
            "ConfigMap reply, data",
            "Keys are compared letter by letter.",
        )
    if target == "reply":
        return not_yet(
            "${id}-reply/itself",
            "The ConfigMap reply names itself.",
            "ConfigMap reply, data",
            "Whom does it reply to?",
        )
    if probe.get("v1", "ConfigMap", target) is None:
        return not_yet(
            "${id}-reply/stranger",
            f"The ConfigMap reply names {target}, and there is no ConfigMap of that name in your namespace.",
            "ConfigMap reply, data",
            f"`labs kubectl -n {probe.namespace} get configmaps` lists those there are.",
        )
    return passed(f"reply names {target}, which is there.", "ConfigMap reply, data")


def unwanted_offline(probe: Probe) -> Outcome:
    """${id}-unwanted, on lists that the notebook does not show. The seed is fixed: the same verdict each time."""
    generator = random.Random(0)
    with probe.function("unwanted", parameters=2) as call:
        for _ in range(ROUNDS):
            found = generator.sample(NAMES, generator.randrange(len(NAMES) + 1))
            wanted = generator.sample(NAMES, generator.randrange(len(NAMES) + 1))
            _compare(found, wanted, call(found, wanted))
    return passed(f"It was right for {ROUNDS} pairs of lists.", "what unwanted returns")


def _compare(found: list[str], wanted: list[str], returned: object) -> None:
    """Errors: Rejected says what is wrong with `returned`, and for which input."""
    about = f"found {found}, wanted {wanted}"
    if not isinstance(returned, list):
        kind = type(returned).__name__
        raise Rejected(
            not_yet(
                "wrong-type",
                f"unwanted returned something of the type {kind} for {about}.",
                "what unwanted returns",
                "A list is asked for; does each way through the function end with one?",
            )
        )
    right = sorted(set(found) - set(wanted))
    if returned == right:
        return
    if invented := sorted(set(returned) - set(right)):
        reason, words = "invented", f"returned {', '.join(map(str, invented))}, which should not be there"
        if set(invented) <= set(wanted) & set(found):
            reason, words = "kept", f"returned {', '.join(invented)}, which somebody wants"
    elif set(returned) == set(right) and len(returned) == len(right):
        reason, words = "order", f"returned the right names in the order {returned}"
    else:
        reason, words = "kept", f"returned {len(returned)} names and left some out, or named one twice"
    raise Rejected(
        not_yet(
            f"${id}-unwanted/{reason}",
            f"unwanted {words}, for {about}.",
            "what unwanted returns",
            "Go through the function with that input by hand.",
        )
    )


def unwanted_live(probe: Probe) -> Outcome:
    """${id}-unwanted, on the ConfigMaps of the namespace."""
    found = [each["metadata"]["name"] for each in probe.list("v1", "ConfigMap")]
    with probe.function("unwanted", parameters=2) as call:
        _compare(found, ["greeting"], call(found, ["greeting"]))
    return passed(
        f"It was right for the {len(found)} ConfigMaps of {probe.namespace}.", "what unwanted returns"
    )


CHECKS: dict[str, Callable[[Probe], Outcome]] = {"${id}-reply": reply, "${id}-unwanted": unwanted_live}
OFFLINE: dict[str, Callable[[Probe], Outcome]] = {"${id}-unwanted": unwanted_offline}
