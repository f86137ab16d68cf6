"""m6-audit: the bank's door is closed to all but two callers, and neither of them was refused on the way there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons.callers import Answer, call
from labsupport.draw.topology.data import gathered
from labsupport.kube.execute import execute
from labsupport.mesh.admin import see

from .shop import API_VERSION, POLICY, made, policies_elsewhere, settled, told

CALLERS = ("till", "books")
NEEDED = (call("till", "POST http://bank/charges"), call("books", "GET http://bank/ledger"))
STRANGERS = ("forgotten", "intern", "stranger")
NEEDLESS = (
    *(call(each, "GET http://bank/ledger") for each in STRANGERS),
    call("intern", "POST http://bank/charges"),
    call("till", "GET http://bank/ledger"),
    call("till", "POST http://bank/ledger"),
    call("till", "GET http://bank/charges"),
    call("books", "POST http://bank/charges"),
    call("books", "DELETE http://bank/ledger"),
    call("books", "GET http://bank/counters"),
    call("load", "GET http://bank/ledger"),
    call("orders", "POST http://bank/charges"),
    # What is allowed at this door, at another.
    call("till", "POST http://payments/charges"),
    call("books", "GET http://payments/ledger"),
)
# At a door that has no policy of its own.
UNNAMED = (call("intern", "GET http://books/"), call("till", "GET http://books/"))
# The callers' own requests come by this port of the bank's; what is tried by hand, here or by the learner, by port 80.
THEIR_PORT = 8080
RECORD = "/tmp/record"  # noqa: S108 (in a container of its own)
LONGEST, SHORTEST = 300, 5  # seconds that telemetry can look back; what it counts together
WHO_COMES = (
    "`labs mesh tap --to` with the bank's account shows who comes, what for, and what would be refused."
)
AGAIN = (
    "What was refused stays refused. To begin again: set the mode to Audit, then `lab.restart` with the two callers' "
    "names; their Pods keep the count."
)


def audit(probe: Probe) -> Outcome:
    """m6-audit: who is let through now, and who was not on the way."""
    where = f"{len(NEEDED)} calls that the bank lives from, and {len(NEEDLESS) + len(UNNAMED)} others"
    # What nobody needs first: once that is refused, a policy that was just applied is in force.
    passes = _passing(probe)
    open_ = settled(probe, UNNAMED, False) if not passes else []
    if refused := settled(probe, NEEDED, True):
        return not_yet(
            "m6-audit/refused",
            f"{told(refused)}. The bank lives from that call.",
            where,
            f"Set the mode to Audit, and look before you enforce. {WHO_COMES}",
        )
    counts = {caller: _record(probe, caller) for caller in CALLERS}
    reported = _reported(probe)
    if any(refused for _, refused in counts.values()) or any(reported.values()):
        said = [
            f"by its own count {caller} {refused} times" for caller, (_, refused) in counts.items() if refused
        ]
        said += [f"by telemetry {caller} {refused} times" for caller, refused in reported.items() if refused]
        return not_yet(
            "m6-audit/refused-before",
            f"Both callers are let through now, but were refused before: {', '.join(said)}.",
            "the callers' own count, and telemetry",
            AGAIN,
        )
    if passes:
        return _too_open(probe, passes, where)
    if open_:
        return not_yet(
            "m6-audit/no-default",
            f"The bank is closed to all but its callers. But {told(open_)}: nobody has allowed that.",
            "a service that has no policy of its own",
            "Which policy is to refuse what nobody allows, and in which mode is it?",
        )
    asked = " and ".join(f"{caller} {answered} times" for caller, (answered, _) in counts.items())
    return passed(
        f"The bank has answered {asked}, and refused neither of them, by their own count and by what its proxy told; "
        f"{len(NEEDLESS) + len(UNNAMED)} calls that nobody needs are refused.",
        where,
    )


def _passing(probe: Probe) -> list[Answer]:
    """The needless calls that are let through; without a policy in force for the bank, waiting would not help."""
    if any(each["spec"].get("mode", "Enforce") == "Enforce" for each in _of_the_bank(probe)):
        return settled(probe, NEEDLESS, False)
    return [each for each in made(probe, NEEDLESS) if each.through]


def _too_open(probe: Probe, passes: list[Answer], where: str) -> Outcome:
    own = _of_the_bank(probe)
    if not own and policies_elsewhere(probe):
        return not_yet(
            "m6-audit/other-namespace",
            f"There are policies in another namespace. Here, {told(passes)}.",
            where,
            "A policy concerns the Pods of the namespace that it is in.",
        )
    if not own:
        return not_yet(
            "m6-audit/open",
            f"{told(passes)}. There is no policy for the bank's door yet.",
            where,
            f"Begin with what its people say, in a mode that refuses nobody. {WHO_COMES}",
        )
    if all(each["spec"].get("mode") == "Audit" for each in own):
        return not_yet(
            "m6-audit/only-told",
            f"{told(passes)}. The bank's policy tells of it, and refuses nobody.",
            where,
            "Once telemetry has nothing more to say against a policy, it is time for its other mode.",
        )
    if by_strangers := [each for each in passes if each.call.caller in STRANGERS]:
        return not_yet(
            "m6-audit/anybody",
            f"{told(by_strangers)}. That caller has no business with the bank.",
            where,
            "Not everybody who comes is needed. Which of your rules says nothing of the caller, or says it of too "
            "many?",
        )
    return not_yet(
        "m6-audit/too-wide",
        f"{told(passes)}. Nobody needs that call.",
        where,
        "A caller that is needed, but not for this. At which door, by which method, at which path does it come?",
    )


def _of_the_bank(probe: Probe) -> list[dict[str, Any]]:
    """The policies that concern the bank, but the one that was there."""
    found = []
    for each in probe.list(API_VERSION, POLICY):
        wanted = (each["spec"].get("selector") or {}).get("matchLabels") or {}
        if each["metadata"]["name"] != "nobody" and wanted.items() <= {"app": "bank"}.items():
            found.append(each)
    return found


def _pod(probe: Probe, caller: str) -> dict[str, Any]:
    found = kube.ready_pods(probe.api, probe.namespace, f"app={caller}")
    if not found:
        raise Rejected(
            not_yet(
                "m6/no-caller",
                f"No Pod of {caller} is ready.",
                f"Pods in {probe.namespace}",
                "It is ready once the bank has answered it for the first time; start/bank.yaml brings it back.",
            )
        )
    return found[-1]


def _record(probe: Probe, caller: str) -> tuple[int, int]:
    """How often a caller was answered well, and since then refused, as its Pod has counted."""
    pod = _pod(probe, caller)["metadata"]["name"]
    answered, refused = execute(probe.api, probe.namespace, pod, ["cat", RECORD]).split()
    return int(answered), int(refused)


def _reported(probe: Probe) -> dict[str, int]:
    """How many of each caller's own requests the bank's proxy has refused since the caller's Pod began, as far as
    telemetry looks back; nothing of one that has hardly begun.
    """
    found = {}
    for caller in CALLERS:
        began = _pod(probe, caller)["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
        age = (datetime.now(UTC) - _moment(began)).total_seconds()
        seconds = min(LONGEST, int(age) - SHORTEST)
        if seconds < SHORTEST:
            continue
        edges = gathered(see.topology(probe.api, seconds)).edges
        own = (f"{probe.namespace}/{caller}", f"{probe.namespace}/bank/{THEIR_PORT}")
        found[caller] = sum(each.denied for each in edges if (each.source, each.service) == own)
    return found


def _moment(told_: Any) -> datetime:
    return told_ if isinstance(told_, datetime) else datetime.fromisoformat(str(told_))
