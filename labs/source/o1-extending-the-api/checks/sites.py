"""The Sites of a namespace as the checks of several exercises ask for them, and whether an answer has left alone what
it was given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet
from labsupport.course.lessons.customresource import Custom

DEFINITION = "the CustomResourceDefinition of sites"
Object = dict[str, Any]


def sites(probe: Probe, exercise: str, version: str = "v1alpha1") -> Custom:
    """The Sites of the lab in one version, once the definition is served as it stands."""
    custom = Custom(probe.api, probe.world.group, version, "Site", "sites", probe.namespace)
    definition = custom.definition()
    if definition is None:
        others = [
            each["metadata"]["name"]
            for each in kube.list_objects(probe.api, "apiextensions.k8s.io/v1", "CustomResourceDefinition")
            if each["spec"]["names"]["kind"] == "Site"
        ]
        seen = f" There is {', '.join(others)}, in another group." if others else ""
        raise Rejected(
            not_yet(
                f"{exercise}/no-definition",
                f"The API server knows no sites in the group {probe.world.group}.{seen}",
                f"CustomResourceDefinition sites.{probe.world.group}",
                "Has the cell above been run, and did the server accept what it applied?",
            )
        )
    names = [each["name"] for each in definition["spec"]["versions"] if each["served"]]
    if version not in names:
        raise Rejected(
            not_yet(
                f"{exercise}/no-version",
                f"Sites are served as {' and '.join(names) or 'nothing'}, not as {version}.",
                f"{DEFINITION}, spec.versions",
                "A version has a name, and two switches: one says whether it is served, one whether it is stored.",
            )
        )
    if definition["spec"]["scope"] != "Namespaced":
        raise Rejected(
            not_yet(
                f"{exercise}/scope",
                "These Sites live outside all namespaces, so every team would share one set of names.",
                f"{DEFINITION}, spec.scope",
                "Each Site belongs to a namespace, as a Deployment does.",
            )
        )
    custom.settle()
    return custom


def given_changed(
    exercise: str, custom: Custom, *judges: Callable[[Custom], Outcome | None]
) -> Outcome | None:
    """What an answer has changed of that part of the definition that the exercise began with."""
    for judge in judges:
        try:
            outcome = judge(custom)
        except Rejected as rejected:
            outcome = rejected.outcome
        if outcome:
            return not_yet(
                f"{exercise}/given-changed",
                f"What was asked for is there, but something that was there before is not. {outcome.observed}",
                outcome.decided_by,
                "Which of the lines that the cell began with are different now?",
            )
    return None
