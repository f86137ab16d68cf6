"""o3-rbac: what the shepherd's ServiceAccount may do, asked of the API server, and whether the shepherd works with it.

Rights are asked for by SubjectAccessReview: the API server's own answer about an account, whatever Roles and
bindings it comes from.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from labsupport import kube
from labsupport.course.deploy import Deployed
from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons import operating
from labsupport.errors import LabsError
from labsupport.patience import patient

from .guest import Guest, deployed, guest

SHEPHERD = "shepherd"
SOON = patient(
    12.0
)  # seconds for an operator to answer a change, mostly for slow machines: a refusal ends the wait
LOOK_AGAIN = patient(9.0)  # seconds until a sheep that somebody has dyed is mended: it looks every 3
GLANCE = 1.0  # seconds of one look
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
ROLE = f"Role {SHEPHERD}"
TOO_MUCH = (
    "Which request of the shepherd's, or of kopf's, would that right be for? If you know none, it has to go."
)
REFUSED = (
    '`operating.refusals(lab, "shepherd")` shows what was refused: the verb, the resource, the API group.'
)


def rbac(probe: Probe) -> Outcome:
    """o3-rbac: nothing more than is used is allowed, and with what is allowed everything works, after a restart."""
    shepherd = deployed(probe, SHEPHERD)
    account = f"system:serviceaccount:{probe.namespace}:{SHEPHERD}"
    for verb, group, resource, namespace in _spare(probe):
        if _may(probe, account, verb, group, resource, namespace):
            where = "in all namespaces" if not namespace else "in your namespace"
            return not_yet(
                "o3-rbac/too-much",
                f"{account} may {verb} {resource} {where}, and nothing in the shepherd needs that.",
                f"the API server's answer about {account}",
                TOO_MUCH,
            )
    # A watch that is open stays open when the right to it goes, so the shepherd has to begin anew.
    operating.scale(probe.world, SHEPHERD, 0)
    with contextlib.suppress(LabsError):  # one that cannot begin is found out below
        operating.scale(probe.world, SHEPHERD, 1)
    with guest(probe, size=2, colour="brown") as flock:
        for what, fine in _day(flock, shepherd):
            if not fine:
                return _refused(probe, flock, what, shepherd)
    return passed(
        "With these rights, and after a restart, the shepherd has made, mended and removed sheep, has told the status, "
        "and has let its Flock go. Everything else is refused to it.",
        f"the API server's answers about {account}, and a Flock of the check's own",
    )


def _day(flock: Guest, shepherd: Deployed) -> Iterator[tuple[str, bool]]:
    """What happens to a Flock, and whether the shepherd has done its part."""

    def done(wrong: Callable[[float], object], seconds: float = SOON) -> bool:
        deadline = time.monotonic() + seconds
        while wrong(GLANCE):
            # What has been refused once will be refused again: there is nothing to wait for.
            if operating.refused(flock.probe.deployed(shepherd.name)) or time.monotonic() > deadline:
                return not wrong(GLANCE)
        return True

    yield "A new Flock was made", done(flock.trouble)
    yield "All of its sheep were there", done(flock.status)
    flock.dye(flock.sheep()[0])
    yield "A sheep was dyed", done(flock.trouble, LOOK_AGAIN)
    flock.resize(1)
    yield "The Flock was made smaller", done(flock.trouble)
    flock.delete()
    yield "The Flock was deleted", done(flock.stays)


def _refused(probe: Probe, flock: Guest, what: str, shepherd: Deployed) -> Outcome:
    told = operating.refused(probe.deployed(SHEPHERD))
    last = f" The API server has refused it {len(told)} requests, the last one: {told[-1]}" if told else ""
    return not_yet(
        "o3-rbac/refused",
        f"{what}, and the shepherd did not do its part in time.{last}",
        f"Flock {flock.name}, and the log of {shepherd.name}",
        REFUSED,
    )


def _spare(probe: Probe) -> Iterator[tuple[str, str, str, str]]:
    """What the shepherd does not need: verb, API group, resource, namespace."""
    group = probe.world.group
    used = {
        (group, "flocks"): {"list", "watch", "patch"},
        (group, "flocks/status"): {"patch"},
        ("", "configmaps"): {"list", "create", "patch", "delete"},
    }
    others = (("", "secrets"), ("", "pods"), ("", "events"), ("apps", "deployments"))
    for place in (*used, *others, ("rbac.authorization.k8s.io", "roles"), (group, "flocks/scale")):
        for verb in VERBS:
            if verb not in used.get(place, ()):
                yield (verb, *place, probe.namespace)
    yield ("list", "", "configmaps", "")


def _may(probe: Probe, user: str, verb: str, group: str, resource: str, namespace: str) -> bool:
    kind, _, part = resource.partition("/")
    attributes = {"verb": verb, "group": group, "resource": kind, "subresource": part, "namespace": namespace}
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{probe.namespace}", "system:authenticated"]
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
    }
    answer = kube.request(
        probe.api, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=review
    )
    return bool(answer["status"]["allowed"])
