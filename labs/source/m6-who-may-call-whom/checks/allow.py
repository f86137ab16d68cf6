"""m6-allow: the calls that the shop lives from pass, and no others."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed

from .shop import API_VERSION, NEEDED, NEEDLESS, POLICY, made, policies_elsewhere, settled, told

STRANGERS = ("intern", "stranger")


def allow(probe: Probe) -> Outcome:
    """m6-allow: everybody calls, and only who must is let through."""
    policies = probe.list(API_VERSION, POLICY)
    enforced = [each for each in policies if each["spec"].get("mode", "Enforce") == "Enforce"]
    own = [each for each in policies if each["metadata"]["name"] not in ("nobody", "ledger")]
    where = f"{len(NEEDED)} calls that are needed and {len(NEEDLESS)} that are not, made by everybody"
    # With nothing of the learner's here, waiting would not help.
    refused = (
        settled(probe, NEEDED, True) if own else [each for each in made(probe, NEEDED) if not each.through]
    )
    if refused and not own and policies_elsewhere(probe):
        return not_yet(
            "m6-allow/other-namespace",
            f"There are policies in another namespace than this one. Here, {told(refused)}.",
            where,
            "A policy concerns the Pods of the namespace that it is in.",
        )
    if refused and any(each not in enforced for each in own):
        return not_yet(
            "m6-allow/audit",
            f"{told(refused)}. There are policies whose mode is Audit.",
            where,
            "What does a policy do in that mode? `labs kubectl explain authorizationpolicy.spec.mode`",
        )
    if refused:
        return not_yet(
            "m6-allow/needed-refused",
            f"{told(refused)}. That call is needed.",
            where,
            "`labs mesh authz` with --from, --to, --method and --path says which policy decides a call, and why.",
        )
    passes = settled(probe, NEEDLESS, False)
    if by_strangers := [each for each in passes if each.call.caller in STRANGERS]:
        return not_yet(
            "m6-allow/anybody",
            f"{told(by_strangers)}. That caller has no business with any of the services.",
            where,
            "Which of your rules says nothing of the caller, or says it of too many? And does something still refuse "
            "what no rule names?",
        )
    if passes:
        return not_yet(
            "m6-allow/too-wide",
            f"{told(passes)}. Nobody needs that call.",
            where,
            "The caller is one that may call somebody. What does it do there, by which method, at which path?",
        )
    return passed(
        f"The {len(NEEDED)} calls that the shop lives from are let through; {len(NEEDLESS)} others, by them "
        "and by strangers, are refused.",
        where,
    )
