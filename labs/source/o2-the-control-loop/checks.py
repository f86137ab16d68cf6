"""The checks of lab O2. Functions are run on generated histories and states first, then on the real API server; the
deployed controllers are attacked, with objects of the check's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from labsupport import kube
from labsupport.course.deploy import Deployed
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons.attack import Attack, attack
from labsupport.course.lessons.histories import Report, generated, run_history, summary
from labsupport.course.lessons.interleaving import run_barns
from labsupport.course.lessons.pasture import Access, run_live_watch, run_writers
from labsupport.course.lessons.shepherding import Finding, run_states
from labsupport.kube.client import stream

Object = dict[str, Any]

HISTORIES = range(24)
STATES = range(16)
SITUATIONS = range(14)
CONVERGE = 8.0  # seconds for a controller to bring a flock into order; it takes less than one
REVIVE = 25.0  # seconds for a killed controller's Pod to be replaced, and for the new one to work
SLOW = 10.0  # writes a second: a shepherd that is faster cannot be killed half-way
SIZE = 8  # sheep of the flock in the middle of which a shepherd is killed
SHEPHERD = "shepherd"

FAILS = "`lab.deploy` returned an object with the shepherd's log and its errors."
UNIQUE = (
    "A uid is given once and never again. Read it from the Flock that is there now, not from one that was."
)
WATCH_LOOK = {
    "o2-watch/ghost": "A list tells all that there is. What became of the names that were in the cache before it?",
    "o2-watch/lost-update": (
        "Which type of event is not handled, or handled too late? Every event counts when it arrives."
    ),
    "o2-watch/stale": "What does a MODIFIED event bring, and what does the cache hold afterwards?",
    "o2-watch/old-version": "Each event's object carries the resourceVersion from which to go on after it.",
    "o2-watch/ignores-bookmark": "A BOOKMARK is about no object. What is it for?",
    "o2-watch/no-version": "`watch_flocks` takes the version from which to go on.",
    "o2-watch/no-list-after-expiry": (
        "What happened since the forgotten version can no longer be told. What can still be asked?"
    ),
    "o2-watch/lists-again": (
        "A connection that ends has lost nothing: the next watch can begin where the last one stopped."
    ),
    "o2-watch/not-objects": "The cache maps a name to the object as the list or the event had it.",
    "o2-watch/returned": "A watch ends every few minutes. The function is to go on.",
}


# --- o2-watch


def watch_offline(probe: Probe) -> Outcome:
    """o2-watch, in memory: the cache is right after every event of histories that nobody has seen."""
    reports = {}
    with probe.function("follow", parameters=3) as call:
        for seed in HISTORIES:
            report = call.drive(run_history, generated(seed), about=_history(seed))
            if report.problem:
                return _watching(report, f"generated history {seed + 1} of {len(HISTORIES)}")
            reports[seed] = report
    return passed(f"The cache was right after each event of {summary(reports)}.", "generated histories")


def _history(seed: int) -> str:
    return f"a history of {len(generated(seed))} steps: " + ", ".join(
        " ".join(step) for step in generated(seed)
    )


def watch_live(probe: Probe) -> Outcome:
    """o2-watch, on the API server: Flocks come and go in a namespace of the check's own."""
    with probe.scratch() as namespace, probe.function("follow", parameters=3) as call:
        call.limit = 20.0
        probe.progress("Flocks come and go, the connection breaks, a version expires")
        arguments = (Access.of(probe.api), probe.world.group, namespace)
        report = call.drive(run_live_watch, *arguments, about="Flocks that come and go on the API server")
    if report.problem:
        return _watching(report, f"Flocks in {namespace}, on the API server")
    return passed(
        f"The cache was right after each event of {len(HISTORIES)} generated histories, and on the API server after "
        f"{report.events} events in {report.watches} watches, of which one was answered with 410.",
        "the cache, compared after each event",
    )


def _watching(report: Report, decided_by: str) -> Outcome:
    problem = report.problem
    return not_yet(f"o2-watch/{problem}", report.text, decided_by, WATCH_LOOK[f"o2-watch/{problem}"])


# --- o2-level


def level(probe: Probe) -> Outcome:
    """o2-level: a prediction is committed; what there is to see is told beside it."""
    if probe.prediction is None:
        return not_yet(
            "o2-level/not-committed",
            "No prediction is committed yet.",
            "the prediction for o2-level",
            "Read both functions once more, follow the shepherd through the night, and commit what you expect.",
        )
    predicted = f"You predicted {float(probe.prediction):.10g} sheep."
    seen = []
    for name in ("edge", "level"):
        flock = probe.get(f"{probe.world.group}/v1", "Flock", name)
        if flock is not None:
            count = len(probe.list("v1", "ConfigMap", labels=f"flock={name}"))
            seen.append(f"{name}-triggered: {count} sheep, {flock['spec']['size']} wanted")
    if not seen:
        text = f"{predicted} The two flocks are not here: the next cells make them."
        return passed(text, "the prediction for o2-level")
    return passed(
        f"{predicted} In your namespace: {'; '.join(seen)}.",
        "ConfigMaps by their label flock",
    )


# --- o2-owners


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
    same = [each for each in references if each["uid"] == flock["metadata"]["uid"]]
    if not same:
        return not_yet(
            "o2-owners/wrong-uid",
            "The bell's owner reference has a uid that no Flock meadow has. To the garbage collector that owner is "
            "gone, so the bell goes too, within half a minute.",
            "ConfigMap bell, metadata.ownerReferences[].uid",
            UNIQUE,
        )
    wanted = {"apiVersion": flock["apiVersion"], "kind": "Flock", "name": "meadow"}
    if wrong := [key for key, value in wanted.items() if same[0][key] != value]:
        return not_yet(
            "o2-owners/wrong-owner",
            f"The uid is that of the Flock meadow, but {', '.join(wrong)} of the owner reference says something else.",
            f"ConfigMap bell, metadata.ownerReferences[].{wrong[0]}",
            "The garbage collector looks the owner up by these fields; it must find the object with that uid there.",
        )
    if len(references) > 1:
        return not_yet(
            "o2-owners/two-owners",
            "The bell has another owner besides the Flock: it goes only when all of them are gone.",
            "ConfigMap bell, metadata.ownerReferences",
            "One reference is enough here.",
        )
    return None


def _no_bell(probe: Probe, flock: Object) -> Outcome:
    """Tell apart: never made, made elsewhere, made and collected. The watch's history knows what is gone by now."""
    told = list(_since(probe, flock))
    here = [each for each in told if each["metadata"]["namespace"] == probe.namespace]
    elsewhere = [each for each in told if each["metadata"]["namespace"] != probe.namespace]
    if here:
        uids = [owner["uid"] for owner in here[-1]["metadata"].get("ownerReferences") or []]
        if uids and flock["metadata"]["uid"] not in uids:
            return not_yet(
                "o2-owners/wrong-uid",
                "There was a bell: the API server's history shows that it was made, and that the garbage collector "
                "took it away again. Its owner reference had a uid that no Flock meadow has.",
                f"ConfigMap bell in {probe.namespace}, its last version before it was deleted",
                UNIQUE,
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


# --- o2-reconcile

RECONCILE_LOOK = {
    "o2-reconcile/missing": "Compare the names that the flock wants with those that are there.",
    "o2-reconcile/extra": "Whose sheep is it? Not its name and not its label say so, but its owner reference.",
    "o2-reconcile/dyed": "A name that is there is not enough: is what stands behind it as it should be?",
    "o2-reconcile/label": "A name that is there is not enough: are its labels as they should be?",
    "o2-reconcile/owner": (
        "A sheep without its owner reference outlives its flock, and no event of it reaches the shepherd."
    ),
    "o2-reconcile/stranger": "Touch a ConfigMap only if it has a wanted name, or if this very Flock owns it, by uid.",
    "o2-reconcile/rewrites": "Compare before you write.",
    "o2-reconcile/writes-again": "Compare before you write: controllers that always write chase themselves.",
    "o2-reconcile/refused": "Which object was in the way, and how does the function look for what is there?",
    "o2-reconcile/stuck-after-failure": (
        "After a failure the queue calls again. What does the function remember or leave out then?"
    ),
    "o2-reconcile/endless-requests": "One list, and one write for each difference, is all that one run needs.",
}


def reconcile_offline(probe: Probe) -> Outcome:
    """o2-reconcile, in memory: generated flocks in every disorder; twice; with a write that fails."""
    with probe.function("reconcile", parameters=2) as call:
        call.limit = 20.0
        finding = call.drive(run_states, [*STATES], about=f"{len(STATES)} generated flocks")
    if finding is not None:
        return _reconciling(finding, "a generated state, in memory")
    return passed(f"{len(STATES)} generated flocks came into order.", "generated states, in memory")


def _reconciling(finding: Finding, decided_by: str) -> Outcome:
    found = f"o2-reconcile/{finding.problem}"
    return not_yet(found, finding.text, decided_by, RECONCILE_LOOK[found])


def reconcile_live(probe: Probe) -> Outcome:
    """o2-reconcile, deployed: a flock of the check's own is attacked, and must be in order again each time."""
    shepherd = _deployed(probe)
    with attack(probe, shepherd, size=4, colour="brown") as flock:
        began = time.monotonic()
        _in_order(flock, "A new Flock was made")
        took = time.monotonic() - began
        flock.steal(1)
        flock.edit(0, {"data": {"colour": "pink"}})
        flock.edit(2, {"metadata": {"labels": None}})
        _in_order(flock, "A sheep was deleted, one dyed, and one lost its label")
        flock.resize(2)
        _in_order(flock, "The Flock was made smaller")
        unrest = flock.unrest(CONVERGE)
        if unrest == "raises":
            return not_yet(
                "o2-reconcile/raises",
                f"The flock is in order, and the shepherd is called again and again, since it fails.{flock.raised()}",
                "the shepherd's journal",
                FAILS,
            )
        if unrest == "hot-loop":
            return not_yet(
                "o2-reconcile/hot-loop",
                "Nothing is left to do, and the sheep are written again and again: each write is an event, and each "
                "event brings the next reconcile.",
                f"resourceVersion of the ConfigMaps of the Flock {flock.name}",
                "Compare before you write.",
            )
        runs = flock.runs()
    events, writes = sum(each["events"] for each in runs), sum(each["writes"] for each in runs)
    return passed(
        f"A Flock of the check's own was in order {took:.1f} s after it was made, and again after deletions and edits. "
        f"The shepherd needed {len(runs)} reconciles for {events} events, and {writes} writes.",
        f"ConfigMaps of the Flock {flock.name}, and the shepherd's journal",
    )


def _in_order(flock: Attack, after: str) -> None:
    """Errors: Rejected if the flock does not come into order."""
    if wrong := flock.trouble(CONVERGE):
        decided_by = f"ConfigMaps of the Flock {flock.name}"
        raise Rejected(_reconciling(Finding(wrong.problem, f"{after}; {wrong.text}"), decided_by))


def _deployed(probe: Probe) -> Deployed:
    shepherd = probe.deployed(SHEPHERD)
    if shepherd is None:
        raise Rejected(
            not_yet(
                "not-deployed",
                "No shepherd runs in your namespace.",
                f"Deployment {SHEPHERD} in {probe.namespace}",
                "The last line of the exercise's cell deploys your function.",
            )
        )
    return shepherd


# --- o2-conflict

CONFLICT_LOOK = {
    "o2-conflict/lost-update": "After a 409, what you computed came from an old number. What must be done again?",
    "o2-conflict/lost-field": (
        "Only what you read together with its version, or the one key that you mean, may be written back."
    ),
    "o2-conflict/gives-up": (
        "A conflict is no failure: it says that somebody else was first. How often may that happen in a row?"
    ),
    "o2-conflict/never-succeeds": "Which version does the second attempt carry, and where does it come from?",
    "o2-conflict/retries-everything": "Which answers mean that another attempt can help, and which do not?",
    "o2-conflict/swallows": "The caller must hear of what is no conflict.",
    "o2-conflict/refused": "Look at the request that was refused, and at its body.",
    "o2-conflict/not-a-number": "data of a ConfigMap holds texts.",
}


def conflict_offline(probe: Probe) -> Outcome:
    """o2-conflict, in memory: other writers come between read and write, as often as it hurts."""
    with probe.function("add_wool", parameters=4) as call:
        call.limit = 20.0
        finding = call.drive(run_barns, [*SITUATIONS], about=f"{len(SITUATIONS)} generated situations")
    if finding is not None:
        look = CONFLICT_LOOK[f"o2-conflict/{finding.problem}"]
        return not_yet(f"o2-conflict/{finding.problem}", finding.text, "generated writers, in memory", look)
    return passed(f"{len(SITUATIONS)} generated situations lost nothing.", "generated writers, in memory")


def conflict_live(probe: Probe) -> Outcome:
    """o2-conflict, on the API server: two writers at once, and a third one that writes another key."""
    barn = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "barn"},
        "data": {"kilos": "0", "door": "shut"},
    }
    with probe.scratch() as namespace, probe.function("add_wool", parameters=4) as call:
        kube.apply(probe.api, [barn], namespace=namespace)
        call.limit = 20.0
        probe.progress("two writers at once")
        wool = call.drive(run_writers, Access.of(probe.api), namespace, "barn", about="two writers at once")
    if wool.found != wool.expected:
        return not_yet(
            "o2-conflict/lost-update",
            f"Two writers added wool at the same time, {wool.calls} times together, and "
            f"{wool.expected - wool.found} kilos of it are not in the barn.",
            "ConfigMap barn, data.kilos",
            CONFLICT_LOOK["o2-conflict/lost-update"],
        )
    if wool.door:
        return not_yet(
            "o2-conflict/lost-field",
            "A third writer's last word on data.door is gone.",
            "ConfigMap barn, data.door",
            CONFLICT_LOOK["o2-conflict/lost-field"],
        )
    return passed(
        f"Two writers added wool {wool.calls} times at the same time, and all of it is there. {wool.conflicts} writes "
        "were answered with 409 and done again.",
        "ConfigMap barn, data.kilos and data.door",
    )


# --- o2-resync

RESYNC_LOOK = {
    "o2-resync/stuck-half-way": (
        "When the new process starts, what tells it that the work is not done? What tells it that it is?"
    ),
    "o2-resync/missed-while-up": (
        "It was called, and looked at what? Every condition under which it returns early is a promise."
    ),
}
TOO_FAST = "Deploy it under the name of the shepherd above, and as slow as that one was."


def resync(probe: Probe) -> Outcome:
    """o2-resync: the shepherd's Pod is killed half-way through a flock of the check's own, and sheep are lost."""
    shepherd = _deployed(probe)
    pace = shepherd.settings().get("writes_per_second")
    if not isinstance(pace, int | float) or not 0 < pace <= SLOW:
        return not_yet(
            "o2-resync/too-fast",
            f"Nothing slows the shepherd down enough: it would be done with {SIZE} sheep before its Pod could be "
            "killed in the middle of the work.",
            f"the settings with which {SHEPHERD} was deployed",
            TOO_FAST,
        )
    with attack(probe, shepherd, size=SIZE, colour="grey") as flock:
        sheep = f"ConfigMaps of the Flock {flock.name}"
        if not flock.begun(2, CONVERGE):
            return not_yet(
                "o2-resync/does-nothing",
                f"A new Flock was made, and it has fewer than two sheep.{flock.raised()}",
                sheep,
                FAILS,
            )
        killed = flock.kill()
        done = len(flock.sheep())
        if done == SIZE:
            return not_yet(
                "o2-resync/too-fast",
                f"All {SIZE} sheep were there before the Pod could be killed in the middle of its work.",
                sheep,
                TOO_FAST,
            )
        flock.steal_any()
        began = time.monotonic()
        if wrong := flock.trouble(REVIVE):
            return _broken(
                "o2-resync/stuck-half-way",
                f"The shepherd's Pod was killed when {done} of {SIZE} sheep were there, and one was lost meanwhile; "
                f"{wrong.text}",
                sheep,
            )
        took = time.monotonic() - began
        # The killed Pod's process may write for a moment more. Then its successor fails at what is there already, tries
        # again, and would find by that what it does not look for.
        if flock.unrest(CONVERGE) == "raises":
            return _always_raises(flock)
        flock.steal(3)
        if wrong := flock.trouble(CONVERGE):
            return _broken("o2-resync/missed-while-up", f"A sheep was deleted; {wrong.text}", sheep)
        if flock.unrest(CONVERGE) == "raises":
            return _always_raises(flock)
    return passed(
        f"The Pod {killed} was killed half-way, when {done} of {SIZE} sheep were there. Its successor had the flock in "
        f"order {took:.1f} s later, with the sheep that was lost while nobody watched.",
        sheep,
    )


def _always_raises(flock: Attack) -> Outcome:
    return not_yet(
        "o2-resync/raises",
        f"All sheep are there, and the shepherd is called again and again, since it fails.{flock.raised()}",
        "the shepherd's journal",
        FAILS,
    )


def _broken(found: str, text: str, decided_by: str) -> Outcome:
    return not_yet(found, text, decided_by, RESYNC_LOOK[found])


CHECKS: dict[str, Callable[[Probe], Outcome]] = {
    "o2-watch": watch_live,
    "o2-level": level,
    "o2-owners": owners,
    "o2-reconcile": reconcile_live,
    "o2-conflict": conflict_live,
    "o2-resync": resync,
}
OFFLINE: dict[str, Callable[[Probe], Outcome]] = {
    "o2-watch": watch_offline,
    "o2-reconcile": reconcile_offline,
    "o2-conflict": conflict_offline,
}
