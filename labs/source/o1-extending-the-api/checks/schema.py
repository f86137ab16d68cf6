"""o1-schema: types, limits, defaults and pruning, seen in what comes back for Sites that the notebook does not show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons.customresource import Custom, refusal, told

from .sites import DEFINITION, Object, sites

LONG = "a" * 254  # one more than a DNS name may have (RFC 1035)


def schema(probe: Probe) -> Outcome:
    """o1-schema: types, limits, defaults and pruning, seen in what comes back for Sites never seen before."""
    custom = sites(probe, "o1-schema")
    if outcome := fields(custom):
        return outcome
    return passed(
        "Good Sites came back complete, with what was given and with the defaults; what no table has was dropped; "
        "each Site with something wrong was refused.",
        f"POST {custom.path()}?dryRun=All",
    )


def fields(custom: Custom) -> Outcome | None:
    """What is wrong with the fields of a Site, if anything is. No case breaks a rule of a later exercise."""
    return _defaults(custom) or _kept(custom) or _refused(custom)


def _defaults(custom: Custom) -> Outcome | None:
    spec = _accepted(custom, {"release": 7}, "o1-schema/good-refused")
    if "replicas" not in spec:
        return _schema(
            "no-default", {"release": 7}, "without `spec.replicas`", "spec.replicas", "`default` fills in."
        )
    if "probe" not in spec:
        return _schema(
            "orphan-default",
            {"release": 7},
            "without any `spec.probe`, although its fields may have defaults: nobody filled in the object around them",
            "spec.probe",
            "A default is looked at only where the object around it is there. What could bring that object about?",
        )
    if spec["replicas"] != 1 or spec["probe"] != {"path": "/healthz", "seconds": 10}:
        found = {"replicas": spec["replicas"], "probe": spec["probe"]}
        return _schema(
            "other-default", {"release": 7}, f"with {told(found)}", "the defaults", "Compare with the table."
        )
    for given, wanted in (
        ({"release": 7, "probe": {}}, {"path": "/healthz", "seconds": 10}),
        ({"release": 7, "probe": {"seconds": 3}}, {"path": "/healthz", "seconds": 3}),
        ({"release": 7, "probe": {"path": "/up"}}, {"path": "/up", "seconds": 10}),
    ):
        spec = _accepted(custom, given, "o1-schema/good-refused")
        if spec.get("probe") != wanted:
            return _schema(
                "half-default",
                given,
                f"with probe ({told(spec.get('probe') or {})})",
                "spec.probe",
                "Whoever gives one half of a probe should get the other: each field needs a default of its own.",
            )
    return None


def _kept(custom: Custom) -> Outcome | None:
    for given in (
        {"release": 1, "replicas": 0, "probe": {"path": "/a", "seconds": 1}},
        {"release": 400, "replicas": 5, "address": LONG[:-1], "probe": {"path": "/b", "seconds": 90}},
    ):
        spec = _accepted(custom, given, "o1-schema/good-refused")
        if lost := sorted(set(given) - set(spec)):
            return _schema(
                "field-lost",
                given,
                f"without {' and '.join(f'`spec.{name}`' for name in lost)}",
                f"spec.{lost[0]}",
                "The server keeps what the schema mentions, and drops the rest.",
            )
        if spec != given:
            return _schema("changed", given, f"as {told(spec)}", "spec", "Which field was changed?")
    for place, given in (
        ("spec", {"release": 3, "replcias": 4}),
        ("spec.probe", {"release": 3, "probe": {"path": "/", "pause": 4}}),
    ):
        spec = _accepted(custom, given, "o1-schema/good-refused")
        if "replcias" in spec or "pause" in spec.get("probe", {}):
            return _schema(
                "unknown-kept",
                given,
                "with the misspelt field in it, for ever",
                place,
                "Something in the schema asks the server to keep fields that it does not know.",
            )
    return None


def _refused(custom: Custom) -> Outcome | None:
    cases: tuple[tuple[str, Mapping[str, Any] | None, str], ...] = (
        ("no-spec-accepted", None, "no spec at all"),
        ("no-release-accepted", {"replicas": 2}, "no release"),
        ("type-accepted", {"release": "2"}, "a release that is a text"),
        ("type-accepted", {"release": 2.5}, "a release that is no whole number"),
        ("type-accepted", {"release": 2, "replicas": 1.5}, "one and a half replicas"),
        ("type-accepted", {"release": 2, "replicas": 2, "address": 80}, "an address that is a number"),
        ("type-accepted", {"release": 2, "probe": {"path": 1}}, "a path that is a number"),
        ("type-accepted", {"release": 2, "probe": {"seconds": 1.5}}, "one and a half seconds"),
        ("limit-accepted", {"release": 0}, "a release below the first"),
        ("limit-accepted", {"release": 2, "replicas": -1}, "fewer than no replicas"),
        ("limit-accepted", {"release": 2, "replicas": 6}, "too many replicas"),
        (
            "limit-accepted",
            {"release": 2, "replicas": 2, "address": LONG},
            f"an address of {len(LONG)} characters",
        ),
        ("limit-accepted", {"release": 2, "probe": {"seconds": 0}}, "a probe without a pause"),
    )
    for diagnostic, given, words in cases:
        if custom.create("new", given).status < 300:
            return not_yet(
                f"o1-schema/{diagnostic}",
                f"The server accepted a Site with {words}.",
                f"POST {custom.path()}?dryRun=All, {told(given or {})[:80]}",
                {
                    "type-accepted": "Each field has a type; the whole numbers of this table have a type of their own.",
                    "limit-accepted": "Numbers have a least and a greatest value in a schema, texts a length.",
                }.get(diagnostic, "A property may be absent unless the object around it says otherwise."),
            )
    return None


def _accepted(custom: Custom, given: Mapping[str, Any], diagnostic: str) -> Object:
    """The spec that comes back for one that must be accepted."""
    answer = custom.create("new", given)
    if answer.status >= 300:
        raise Rejected(
            not_yet(
                diagnostic,
                f"The server refused a Site that is all right ({told(given)}): {refusal(answer)}",
                f"POST {custom.path()}?dryRun=All",
                "The refusal names the field. Is it stricter than it should be?",
            )
        )
    return dict(answer.body.get("spec") or {})


def _schema(diagnostic: str, given: Mapping[str, Any], seen: str, field: str, look: str) -> Outcome:
    return not_yet(
        f"o1-schema/{diagnostic}",
        f"A Site with {told(given)[:120]} came back {seen}.",
        f"{DEFINITION}, {field}",
        look,
    )
