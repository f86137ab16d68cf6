"""o1-subresources: the doors for status and scale, and the columns that `kubectl get` prints."""

from __future__ import annotations

from dataclasses import replace

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.customresource import TABLE, Custom, refusal, told

from .rules import judge_rules
from .schema import fields
from .sites import DEFINITION, given_changed, sites


def subresources(probe: Probe) -> Outcome:
    """o1-subresources: a Site of our own gets a status, is scaled and is printed."""
    served = sites(probe, "o1-subresources")
    with probe.scratch() as namespace:
        custom = replace(served, namespace=namespace)
        made = custom.create("unseen", {"release": 71, "replicas": 4}, dry=False)
        if made.status >= 300:
            return _sub(
                "refused",
                f"A Site could not even be created: {refusal(made)}",
                "the schema",
                "See the reason.",
            )
        for judge in (_status, _scale, _columns):
            if outcome := judge(custom):
                return outcome
        if outcome := given_changed("o1-subresources", custom, fields, judge_rules):
            return outcome
    return passed(
        "Status went in by its own door and stayed out by the other; the scale door changed spec.replicas alone; "
        "the table shows release, wanted and running replicas and the age. Fields and rules are as they were.",
        f"{custom.path('unseen')}, /status, /scale and its Table",
    )


def _status(custom: Custom) -> Outcome | None:
    wanted = {"observedGeneration": 1, "replicas": 3, "selector": "site=unseen"}
    if custom.read("unseen", "status").status == 404:
        place = _elsewhere(custom, "status")
        return _sub(
            "no-status",
            f"There is no door for the status: GET .../status answers 404.{place}",
            "subresources",
            "Subresources are switched on in a version, beside its schema.",
        )
    answer = custom.patch("unseen", {"status": wanted}, "status", dry=False)
    if answer.status >= 300:
        return _sub(
            "status-refused", f"A good status was refused: {refusal(answer)}", "status", "See the reason."
        )
    stored = answer.body.get("status") or {}
    if lost := sorted(set(wanted) - set(stored)):
        return _sub(
            "status-pruned",
            f"A status was accepted and came back without {' and '.join(lost)}.",
            "schema, properties.status",
            "A status is pruned like everything else: the schema must know its fields.",
        )
    none_running = custom.patch("unseen", {"status": {"replicas": 0}}, "status")
    if none_running.status >= 300:
        return _sub(
            "status-refused",
            f"The status of a Site of which nothing runs yet was refused: {refusal(none_running)}",
            "schema, properties.status.properties.replicas",
            "What can a controller see, and must be able to report?",
        )
    for name, value in (
        ("observedGeneration", "one"),
        ("replicas", "three"),
        ("selector", 3),
        ("replicas", 1.5),
    ):
        if custom.patch("unseen", {"status": {name: value}}, "status").status < 300:
            return _sub(
                "status-type",
                f"The status took {value!r} for {name}.",
                f"schema, properties.status.properties.{name}",
                "The fields of a status have types too.",
            )
    before = answer.body["metadata"]["generation"]
    after = custom.patch("unseen", {"status": {"replicas": 1}, "spec": {"release": 72}}).body
    if after["status"].get("replicas") != 3 or after["metadata"]["generation"] != before + 1:
        return _sub(
            "status-open",
            "A write to the Site itself changed its status, or its generation did not count.",
            "subresources.status",
            "With a status subresource each door writes one half.",
        )
    return None


def _scale(custom: Custom) -> Outcome | None:
    answer = custom.read("unseen", "scale")
    if answer.status == 404:
        return _sub(
            "no-scale",
            f"`kubectl scale` finds no door: GET .../scale answers 404.{_elsewhere(custom, 'scale')}",
            "subresources",
            "The scale subresource translates for those who know nothing of Sites, by paths into the object.",
        )
    spec, status = answer.body.get("spec") or {}, answer.body.get("status") or {}
    if spec.get("replicas") != 4:
        return _sub(
            "scale-spec",
            f"A Site that wants 4 replicas has a scale with {told(spec)}.",
            "subresources.scale",
            "One of the paths says where in a Site the wanted number is.",
        )
    if status.get("replicas") != 3:
        return _sub(
            "scale-status",
            f"A Site with 3 running replicas has a scale with the status {told(status)}.",
            "subresources.scale",
            "One of the paths says where in a Site the running number is.",
        )
    if status.get("selector") != "site=unseen":
        return _sub(
            "scale-selector",
            "The scale does not say which Pods belong to the Site, so no autoscaler could measure them.",
            "subresources.scale",
            "There is a third path, and its target is a text in the status.",
        )
    scaled = custom.patch("unseen", {"spec": {"replicas": 2}}, "scale")
    if scaled.status >= 300 or scaled.body["spec"].get("replicas") != 2:
        return _sub(
            "scale-write", f"Scaling to 2 failed: {refusal(scaled)}", "subresources.scale", "See the reason."
        )
    return None


def _columns(custom: Custom) -> Outcome | None:
    table = custom.read("unseen", accept=TABLE).body
    names = [column["name"] for column in table["columnDefinitions"]]
    usual = [number for number, column in enumerate(table["columnDefinitions"]) if not column.get("priority")]
    cells = table["rows"][0]["cells"]
    shown = {str(cells[number]) for number in usual}
    missing = [
        words
        for value, words in (("71", "release"), ("4", "wanted replicas"), ("3", "running replicas"))
        if value not in shown
    ]
    if missing:
        empty = [names[number] for number in usual if cells[number] in (None, "")]
        return _sub(
            "empty-column" if empty else "no-column",
            f"`kubectl get` shows {', '.join(names[number] for number in usual)}"
            + (f"; {' and '.join(empty)} stayed empty" if empty else "")
            + f". Not to be seen: {' and '.join(missing)}.",
            "additionalPrinterColumns",
            "A column has a name, a type and a path into the object; a path that leads nowhere prints nothing.",
        )
    ages = [
        cell for cell in (cells[number] for number in usual) if isinstance(cell, str) and cell[-1:] == "s"
    ]
    if not ages:
        return _sub(
            "no-age",
            f"`kubectl get` shows {', '.join(names[number] for number in usual)}, but not how old a Site is.",
            "additionalPrinterColumns",
            "The age is printed for you only as long as you define no columns. Its type is not a number.",
        )
    return None


def _elsewhere(custom: Custom, subresource: str) -> str:
    """A half-sentence on a subresource that another version has."""
    definition = custom.definition() or {"spec": {"versions": []}}
    having = [
        each["name"]
        for each in definition["spec"]["versions"]
        if subresource in (each.get("subresources") or {}) and each["name"] != custom.version
    ]
    return f" Version {having[0]} has one." if having else ""


def _sub(diagnostic: str, seen: str, field: str, look: str) -> Outcome:
    return not_yet(f"o1-subresources/{diagnostic}", seen, f"{DEFINITION}, {field}", look)
