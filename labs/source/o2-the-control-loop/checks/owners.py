"""o2-owners: what the bell depends on, told by its owner references, or by the API server's history if it is gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.kube.client import stream

Object = dict[str, Any]
UNIQUE = (
    "A uid is given once and never again. Read it from the Flock that is there now, not from one that was."
)
LOOKED_UP = (
    "The garbage collector looks the owner up by these fields; it must find the object with that uid there."
)


def owners(probe: Probe) -> Outcome:
    """o2-owners: a ConfigMap `bell` that goes when the Flock meadow goes, told by its owner references."""
    flock = probe.get(f"{probe.world.group}/v1", "Flock", "meadow")
    if flock is None:
        return not_yet(
            "o2-owners/no-flock",
            "The Flock meadow is not in your namespace, so nothing can depend on it.",
            f"Flock meadow in {probe.namespace}",
            '`lab.start("o2", at="o2-owners")` brings it back.',
        )
    bell = probe.get("v1", "ConfigMap", "bell")
    if bell is None:
        return _no_bell(probe, flock)
    references = bell["metadata"].get("ownerReferences") or []
    if any(each["uid"] == bell["metadata"]["uid"] for each in flock["metadata"].get("ownerReferences") or []):
        return not_yet(
            "o2-owners/swapped",
            "The Flock meadow has an owner reference to the bell: if the bell goes, the flock goes with it.",
            "Flock meadow, metadata.ownerReferences",
            "The reference is written into the object that is to go, and names the one on which it depends.",
        )
    if not references:
        return not_yet(
            "o2-owners/no-owner",
            "The bell is there, and nothing in it makes it depend on anything. Labels, annotations and names are for "
            "people and selectors; the garbage collector reads one field only.",
            "ConfigMap bell, metadata.ownerReferences",
            "`labs kubectl explain configmap.metadata.ownerReferences`",
        )
    if wrong := _not_the_flock(references, flock):
        return wrong
    return passed(
        "The bell depends on the Flock meadow, by the uid of the one that is there now, and on nothing else.",
        "ConfigMap bell, metadata.ownerReferences",
    )


def _not_the_flock(references: list[Object], flock: Object) -> Outcome | None:
    if flock["metadata"]["uid"] not in [each["uid"] for each in references]:
        return not_yet(
            "o2-owners/wrong-uid",
            "The bell's owner reference has a uid that no Flock meadow has. To the garbage collector that owner is "
            "gone, so the bell goes too, within half a minute.",
            "ConfigMap bell, metadata.ownerReferences[].uid",
            UNIQUE,
        )
    if wrong := _other_words(references, flock):
        return not_yet(
            "o2-owners/wrong-owner",
            f"The uid is that of the Flock meadow, but {', '.join(wrong)} of the owner reference says something else.",
            f"ConfigMap bell, metadata.ownerReferences[].{wrong[0]}",
            LOOKED_UP,
        )
    if len(references) > 1:
        return not_yet(
            "o2-owners/two-owners",
            "The bell has another owner besides the Flock: it goes only when all of them are gone.",
            "ConfigMap bell, metadata.ownerReferences",
            "One reference is enough here.",
        )
    return None


def _other_words(references: list[Object], flock: Object) -> list[str]:
    """In which fields the reference with the Flock's uid, if there is one, describes another object."""
    same = [each for each in references if each["uid"] == flock["metadata"]["uid"]]
    wanted = {"apiVersion": flock["apiVersion"], "kind": "Flock", "name": "meadow"}
    return [key for key, value in wanted.items() if same and same[0][key] != value]


def _no_bell(probe: Probe, flock: Object) -> Outcome:
    """Tell apart: never made, made elsewhere, made and collected. The watch's history knows what is gone by now."""
    told = list(_since(probe, flock))
    here = [each for each in told if each["metadata"]["namespace"] == probe.namespace]
    elsewhere = [each for each in told if each["metadata"]["namespace"] != probe.namespace]
    if here:
        references = here[-1]["metadata"].get("ownerReferences") or []
        uids = [owner["uid"] for owner in references]
        if uids and flock["metadata"]["uid"] not in uids:
            return not_yet(
                "o2-owners/wrong-uid",
                "There was a bell: the API server's history shows that it was made, and that the garbage collector "
                "took it away again. Its owner reference had a uid that no Flock meadow has.",
                f"ConfigMap bell in {probe.namespace}, its last version before it was deleted",
                UNIQUE,
            )
        if wrong := _other_words(references, flock):
            return not_yet(
                "o2-owners/wrong-owner",
                "There was a bell, and it was deleted again. The uid of its owner reference was that of the Flock "
                f"meadow, but {', '.join(wrong)} said something else.",
                f"ConfigMap bell in {probe.namespace}, its last version before it was deleted",
                f"{LOOKED_UP} Otherwise that owner is gone to it, and the dependent object goes too.",
            )
        return not_yet(
            "o2-owners/deleted",
            "There was a bell, and somebody deleted it again.",
            f"ConfigMap bell in {probe.namespace}",
            "Run the cell of the exercise once more.",
        )
    if elsewhere:
        place = elsewhere[-1]["metadata"]["namespace"]
        return not_yet(
            "o2-owners/other-namespace",
            f"A bell was made in the namespace {place}. An owner is looked up in the namespace of the dependent "
            "object, and no Flock meadow is there: to the garbage collector that owner is gone.",
            f"ConfigMap bell in {place}, metadata.namespace",
            "`lab.apply` puts objects into your namespace; owner and dependent must share one.",
        )
    return not_yet(
        "o2-owners/no-bell",
        "There is no ConfigMap bell in your namespace, and there has been none since the Flock was made.",
        f"ConfigMaps in {probe.namespace}",
        "The cell above the check is where it is made.",
    )


def _since(probe: Probe, flock: Object) -> Iterator[Object]:
    """Versions of ConfigMaps named bell, in any namespace, since the Flock was made, as far as the server remembers."""
    version = flock["metadata"]["resourceVersion"]
    now = kube.request(probe.api, "GET", "/api/v1/configmaps", query={"limit": "1"})["metadata"][
        "resourceVersion"
    ]
    query = {"watch": "true", "resourceVersion": version, "fieldSelector": "metadata.name=bell"}
    # The history comes at once, and then a bookmark or silence; one second is the shortest time-out there is.
    query |= {"timeoutSeconds": "1", "allowWatchBookmarks": "true"}
    for event in stream(probe.api, "/api/v1/configmaps", query=query, timeout=3):
        if event["type"] in ("ERROR", "BOOKMARK") or int(
            event["object"]["metadata"]["resourceVersion"]
        ) > int(now):
            return
        yield event["object"]
