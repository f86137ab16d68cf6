"""What on a cluster is the course's, told by name and label alone: the learner's labs own it, or it is left alone.

| What | Is a lab's if |
|---|---|
| namespace | it is named `lab-<id>` or `lab-<id>-...` and has the label `labs.example/part-of: course` |
| object in such a namespace | always |
| cluster-scoped object | it is named so, and the course has that lab or the object has the label |
| binding `quorum-member:NAMESPACE:...` of the Quorum operator's | its namespace is named as a lab's |
| custom resource definition, its objects, API service | the API group is `lab-<id>.labs.example` or ends in it |
| object in another namespace | `lab.apply` put it there: it has the labels of part, lab and learner |

With LABS_LEARNER=bob each of these names begins with `bob-`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labsupport.course.manifest import Lab, identifiers
from labsupport.errors import LabsError
from labsupport.kube.kinds import Kind

PART_OF = "labs.example/part-of"
LAB = "labs.example/lab"
LEARNER_LABEL = "labs.example/learner"
LEARNER = "LABS_LEARNER"  # whose labs these are, where many share a cluster
GROUP_DOMAIN = "labs.example"  # reserved for examples (RFC 2606)
_LEARNER = re.compile(r"[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?")
_PLACEHOLDER = re.compile(r"\{(?:namespace|group|name:(?P<suffix>[-.a-z0-9]+))\}")
# Named by whoever made the machine or the volume, and nothing that a lab makes.
_NEVER = {"Node", "CSINode", "CSIDriver", "VolumeAttachment", "IPAddress", "ServiceCIDR", "Namespace"}
_MEMBERS = (
    "quorum-member:"  # begins the names of the bindings that the Quorum operator makes, outside of namespaces
)
_NAMED_BY_GROUP = {"CustomResourceDefinition", "APIService"}


def learner() -> str:
    """Who learns, where many share a cluster: LABS_LEARNER, or "" where the cluster is one learner's alone.

    Errors: LabsError if it cannot be part of a name (a DNS label, RFC 1123), or could be taken for another learner's.
    """
    name = os.environ.get(LEARNER, "")
    # "bob" and "bob-lab-o1" must not meet: the second one's lab would be named like an object of the first one's.
    if name and (not _LEARNER.fullmatch(name) or "lab" in name.split("-")):
        raise LabsError(
            f"{LEARNER} is {name!r}, which cannot begin the names of a learner's objects.",
            fix="at most 20 lower-case letters, digits and dashes, beginning and ending with a letter or digit, "
            "without `lab` as a part",
        )
    return name


def prefix() -> str:
    """How the names of all this learner's namespaces begin: `lab-`, or `bob-lab-`."""
    return f"{learner()}-lab-" if learner() else "lab-"


def namespace_of(lab: Lab) -> str:
    """The name of a lab's own namespace: `lab-o1`, or `bob-lab-o1` for the learner bob."""
    return prefix() + lab.id.lower()


def labels_of(lab: Lab) -> dict[str, str]:
    """The labels of what the course makes for a lab."""
    labels = {PART_OF: "course", LAB: lab.id.lower()}
    return labels | ({LEARNER_LABEL: learner()} if learner() else {})


def expand(lab: Lab, text: str) -> str:
    """The text of a lab's file, hint or expectation with this learner's names in it.

    `{namespace}`, `{group}` and `{name:SUFFIX}` stand for `lab.namespace`, `lab.group` and `lab.name("SUFFIX")`.
    Everything else stays, other braces too.
    """
    namespace = namespace_of(lab)
    values = {"{namespace}": namespace, "{group}": f"{namespace}.{GROUP_DOMAIN}"}
    return _PLACEHOLDER.sub(lambda match: values.get(match[0], f"{namespace}-{match['suffix']}"), text)


@dataclass(frozen=True)
class Ownership:
    """Which objects are a learner's labs'. `ids` are the labs of the course, `beginning` is what `prefix` gives."""

    beginning: str
    learner: str
    ids: frozenset[str]

    def lab_of(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """The id of the lab that an object named so belongs to, or "".

        An id that the course has no more still counts for an object that has the course's label.
        """
        if not name.startswith(self.beginning):
            return ""
        rest = name.removeprefix(self.beginning)
        # The longest id first: of the labs `m1` and `m1-b`, the second one has `lab-m1-b-x`.
        for identifier in sorted(self.ids, key=len, reverse=True):
            if rest == identifier or rest.startswith(f"{identifier}-"):
                return identifier
        return rest.partition("-")[0] if (labels or {}).get(PART_OF) == "course" else ""

    def lab_of_group(self, group: str) -> str:
        """The id of the lab whose API group this is, or is above it, or ""."""
        parts = group.split(".")
        domain = GROUP_DOMAIN.split(".")
        if len(parts) <= len(domain) or parts[-len(domain) :] != domain:
            return ""
        place = parts[-len(domain) - 1]
        identifier = place.removeprefix(self.beginning)
        return identifier if place.startswith(self.beginning) and identifier in self.ids else ""

    def lab_of_namespace(self, metadata: Mapping[str, Any]) -> str:
        """The id of the lab that a Namespace belongs to, or "": the name is not enough here, for much may lie in it."""
        labels = metadata.get("labels") or {}
        return self.lab_of(metadata["name"], labels) if labels.get(PART_OF) == "course" else ""

    def lab_of_object(self, kind: Kind, metadata: Mapping[str, Any], namespaces: Mapping[str, str]) -> str:
        """The id of the lab that an object belongs to, or ""; `namespaces` are the labs' with their labs' ids."""
        if lab := self.lab_of_group(kind.group):
            return lab
        labels = metadata.get("labels") or {}
        if kind.namespaced:
            if lab := namespaces.get(metadata["namespace"], ""):
                return lab
            marked = labels.get(PART_OF) == "course" and labels.get(LEARNER_LABEL, "") == self.learner
            return labels.get(LAB, "") if marked else ""
        if kind.kind in _NEVER:
            return ""
        if kind.kind in _NAMED_BY_GROUP:
            # <plural>.<group>, or <version>.<group>; the server itself makes and removes a CRD's API services.
            automatic = any(key.startswith("kube-aggregator.kubernetes.io/") for key in labels)
            return "" if automatic else self.lab_of_group(metadata["name"].partition(".")[2])
        name = metadata["name"]
        if name.startswith(_MEMBERS):
            name = name.removeprefix(_MEMBERS).partition(":")[0]
        return self.lab_of(name, labels)


def ownership(*more: Lab) -> Ownership:
    """The ownership of this learner's labs: those of the course, and `more`."""
    return Ownership(prefix(), learner(), identifiers() | {lab.id.lower() for lab in more})
