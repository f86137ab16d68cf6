"""o1-rules: what the validation rules must allow and refuse, tried on Sites of the check's own."""

from __future__ import annotations

from dataclasses import replace

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons.customresource import Custom, refusal, told

from .schema import fields
from .sites import DEFINITION, given_changed, sites


def rules(probe: Probe) -> Outcome:
    """o1-rules: creations and updates that the rules must allow and refuse, as dry runs on Sites of our own."""
    served = sites(probe, "o1-rules")
    with probe.scratch() as namespace:
        custom = replace(served, namespace=namespace)
        if outcome := judge_rules(custom) or given_changed("o1-rules", custom, fields):
            return outcome
    return passed(
        "Every good creation and update went through, also one that set an address where there was none; the bad were "
        "refused, each with a sentence for its reader. Fields and defaults are as they were.",
        f"POST and PATCH to {custom.path()}",
    )


def judge_rules(custom: Custom) -> Outcome | None:
    """None where all three rules hold. Errors: Rejected."""
    for given in (
        {"release": 5, "replicas": 0},
        {"release": 5},
        {"release": 5, "replicas": 2, "address": "a.labs.example"},
        {"release": 5, "replicas": 5, "address": "b.labs.example"},
    ):
        _allowed(custom, custom.create("new", given), f"the creation of a Site with {told(given)}")
    for given in (
        {"release": 5, "replicas": 1, "address": "a.labs.example"},
        {"release": 5, "replicas": 0, "address": "a.labs.example"},
        {"release": 5, "address": "a.labs.example"},
    ):
        answer = custom.create("new", given)
        _forbidden(custom, answer, "few-replicas", f"A Site with {told(given)} was accepted")
    plain = {"release": 6, "replicas": 3}
    for name, spec in (("plain", plain), ("known", {**plain, "address": "c.labs.example"})):
        _allowed(custom, custom.create(name, spec, dry=False), f"the creation of a Site with {told(spec)}")
    _updates(custom)
    return None


def _updates(custom: Custom) -> None:
    for name, change in (
        ("plain", {"release": 7}),
        ("plain", {"release": 6, "replicas": 1}),
        ("plain", {"address": "d.labs.example"}),
        ("known", {"release": 60, "replicas": 2}),
        ("known", {"probe": {"seconds": 2}}),
    ):
        before = "with an address" if name == "known" else "without an address"
        answer = custom.patch(name, {"spec": change})
        _allowed(custom, answer, f"an update to {told(change)} of a Site of release 6 {before}")
    for diagnostic, name, change, words in (
        ("release-down", "plain", {"release": 5}, "A Site went from release 6 back to 5"),
        ("release-down", "known", {"release": 1}, "A Site went from release 6 back to 1"),
        ("address-changed", "known", {"address": "e.labs.example"}, "A Site was given another address"),
        ("removable", "known", {"address": None}, "A Site lost its address, so its next one could be any"),
        ("few-replicas", "plain", {"address": "d.labs.example", "replicas": 1}, "One replica got an address"),
    ):
        _forbidden(custom, custom.patch(name, {"spec": change}), diagnostic, words)


def _allowed(custom: Custom, answer: kube.Answer, words: str) -> None:
    if answer.status >= 300:
        raise Rejected(
            not_yet(
                "o1-rules/too-strict",
                f"The server refused {words}: {refusal(answer)}",
                f"{DEFINITION}, x-kubernetes-validations",
                "Whoever asks for a field that is absent gets an error, and an error refuses. `has()` asks first.",
            )
        )


def _forbidden(custom: Custom, answer: kube.Answer, diagnostic: str, words: str) -> None:
    if answer.status < 300:
        definition = custom.definition() or {"spec": {"versions": []}}
        with_rules = [
            each["name"]
            for each in definition["spec"]["versions"]
            if "x-kubernetes-validations" in str(each) and each["name"] != custom.version
        ]
        if with_rules:
            diagnostic, words = "other-version", f"{words}; the rules stand in version {with_rules[0]} only"
        raise Rejected(
            not_yet(
                f"o1-rules/{diagnostic}",
                f"{words}.",
                f"{DEFINITION}, x-kubernetes-validations",
                {
                    "removable": "A rule on a field is asked only where the field is there, before and after. "
                    "Where would a rule have to stand to see it go?",
                    "other-version": "Each version has a schema of its own, and a request is judged by the version it "
                    "names.",
                }.get(
                    diagnostic,
                    "Which rule should have said no? `self` is what comes, `oldSelf` what is there.",
                ),
            )
        )
    if "failed rule" in refusal(answer):
        raise Rejected(
            not_yet(
                "o1-rules/no-message",
                f"A refusal came without a sentence for its reader: {refusal(answer)}",
                f"{DEFINITION}, x-kubernetes-validations[].message",
                "A rule may carry a message of its own. Who gets the refusal may never have seen the rule.",
            )
        )
