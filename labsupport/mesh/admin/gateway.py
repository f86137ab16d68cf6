"""Whether the Gateway API's own kinds are to be installed on a cluster that may have them. Pure.

They are shared by all who use the Gateway API on a cluster, so they are never replaced by older ones, experimental ones
never by standard ones (fields would go), and only those that this course brought are taken away with it. What they are
is said by annotations (https://gateway-api.sigs.k8s.io/concepts/versioning/).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

VERSION = "gateway.networking.k8s.io/bundle-version"
CHANNEL = "gateway.networking.k8s.io/channel"
OURS = {
    "labs.example/part-of": "course",
    "mesh.labs.example/part": "gateway-api",
}  # labels of those that we brought
# The kinds that the control plane follows.
NEEDED = ("httproutes", "grpcroutes", "gateways", "gatewayclasses", "referencegrants")

Object = dict[str, Any]


@dataclass(frozen=True)
class Choice:
    """What to apply, and why that, as a sentence."""

    apply: tuple[Object, ...]
    why: str


def version_of(document: Mapping[str, Any]) -> str:
    """The version of the bundle that an object belongs to, "" where it does not say."""
    return str((document["metadata"].get("annotations") or {}).get(VERSION, ""))


def is_ours(document: Mapping[str, Any]) -> bool:
    """Whether this course brought an object to the cluster."""
    labels = document["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in OURS.items())


def newness(version: str) -> tuple[int, int, int, bool, str]:
    """A sort key for versions as v1.6.3 and v1.6.0-rc.1 (which is older than v1.6.0); (0, ...) for what is none."""
    found = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)(?:[-+](.*))?", version)
    if not found:
        return (0, 0, 0, False, version)
    major, minor, patch, rest = found.groups()
    return (int(major), int(minor), int(patch), rest is None, rest or "")


def choose(bundle: Sequence[Object], present: Iterable[Object]) -> Choice:
    """What of `bundle` (the official manifests) to apply where `present` are the cluster's objects of the same names.

    One bundle is one thing: it is applied as a whole or not at all, since its kinds refer to each other. Objects that
    we did not bring are made newer without becoming ours, so that `uninstall` leaves them.
    """
    if not bundle:
        return Choice((), "no kinds of the Gateway API were given")
    wanted = next((version_of(document) for document in bundle if version_of(document)), "")
    there = list(present)
    for each in there:
        name, version = each["metadata"]["name"], version_of(each)
        channel = (each["metadata"].get("annotations") or {}).get(CHANNEL, "")
        if not version:
            return Choice((), f"{name} does not say of which version it is: it is left as it is")
        if newness(version) > newness(wanted):
            return Choice(
                (), f"the cluster has the Gateway API {version}, newer than {wanted}: it is left as it is"
            )
        if channel == "experimental":
            return Choice(
                (), f"the cluster has the Gateway API's experimental channel ({version}): it is left as it is"
            )
    foreign = {_key(each) for each in there if not is_ours(each)}
    documents = tuple(each if _key(each) in foreign else _marked(each) for each in bundle)
    if len(there) == len(bundle) and all(version_of(each) == wanted for each in there):
        held = {_key(each): each for each in there}
        altered = tuple(each for each in documents if not _holds(held[_key(each)], each))
        return Choice(() if foreign else altered, f"the cluster has the Gateway API {wanted}")
    before = sorted({version_of(each) for each in there})
    return Choice(
        documents, f"Gateway API {wanted}" + (f" in place of {', '.join(before)}" if before else "")
    )


def _key(document: Mapping[str, Any]) -> tuple[str, str]:
    return document["kind"], document["metadata"]["name"]


def _holds(stored: Any, wanted: Any) -> bool:
    """Whether what is stored has all that is wanted, with what the server adds by default or not."""
    if isinstance(wanted, dict):
        return isinstance(stored, dict) and all(_holds(stored.get(key), each) for key, each in wanted.items())
    if isinstance(wanted, list):
        same = isinstance(stored, list) and len(stored) == len(wanted)
        return same and all(_holds(*pair) for pair in zip(stored, wanted, strict=True))
    return bool(stored == wanted)


def _marked(document: Object) -> Object:
    metadata = document["metadata"]
    return {**document, "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), **OURS}}}
