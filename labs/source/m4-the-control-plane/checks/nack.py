"""m4-nack: the named object, held against what the proxy refused and what stands in the HTTPRoutes."""

from __future__ import annotations

import time

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons import controlplane
from labsupport.course.lessons.controlplane import Object, Record
from labsupport.patience import patient

from .live import GATEWAY, control_plane

HEARD = patient(2.0)  # seconds for a proxy to answer to what was applied a moment ago
SYMPTOM = ("httproute", "tea")


def nack(probe: Probe) -> Outcome:
    """m4-nack: the object from which the refused words come."""
    culprit = probe.value(
        "culprit", str, "an object, as a text of its kind and its name with a slash between"
    ).strip()
    kind, _, name = culprit.partition("/")
    kind = kind.partition(".")[0].lower()  # kubectl writes the group behind it
    control_plane(probe, "m4-nack")
    routes = probe.list(GATEWAY, "HTTPRoute")
    refused = _refusals(probe)
    if not refused or not any(each["metadata"]["name"] == "tea" for each in routes):
        return not_yet(
            "m4-nack/no-refusal",
            "The control plane has heard no NACK so far.",
            "the control plane's records",
            'Apply `start/teams.yaml` and `start/tea.yaml`, or `lab.start("m4", at="m4-nack")`.',
        )
    decided = "the NACKs in the control plane's records, and the objects"
    if kind == "httproute" and name in _guilty(routes, refused):
        return passed(
            f"The proxy refuses the routes with {refused[-1]['message']!r}, and that is in {culprit} alone.",
            decided,
        )
    if (kind, name) == SYMPTOM:
        return not_yet(
            "m4-nack/symptom",
            "That route is right. Made anew, it would again be part of a response that is refused, for another reason.",
            decided,
            "What is in the same response besides it? And what did the proxy say?",
        )
    known = {
        "httproute": routes,
        "service": probe.list("v1", "Service"),
        "deployment": probe.list("apps/v1", "Deployment"),
    }
    if name not in {each["metadata"]["name"] for each in known.get(kind, [])}:
        return not_yet(
            "m4-nack/no-such-object",
            f"Your namespace has no {culprit}.",
            f"{culprit}",
            "Kind and name, with a slash between, as `kubectl get` and the table of records write them.",
        )
    return not_yet(
        "m4-nack/innocent",
        f"If {culprit} were different, or gone, the proxy would refuse the routes as before.",
        decided,
        "Envoy says in a few characters what it cannot read. Where do they come from?",
    )


def _refusals(probe: Probe) -> list[Record]:
    """The NACKs that the control plane has heard; some time is given for the first."""
    ending = time.monotonic() + probe.left(HEARD)
    while True:
        found = [
            each for each in controlplane.records(probe) if each["what"] == "answered" and not each["ack"]
        ]
        if found or time.monotonic() > ending:
            return found
        time.sleep(0.1)


def _guilty(routes: list[Object], refused: list[Record]) -> list[str]:
    """The routes that hold what the proxy complained of last: "invalid perl operator: (?!"."""
    words = str(refused[-1]["message"]).rpartition(": ")[2]
    return [
        each["metadata"]["name"]
        for each in routes
        if any(
            words in str((match.get("path") or {}).get("value", ""))
            for rule in each["spec"].get("rules") or []
            for match in rule.get("matches") or []
        )
    ]
