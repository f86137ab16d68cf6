"""The host of `lab.deploy(function, host="canary")`: rollouts of a canary that the learner's function leads.

POST /rollout makes one and answers {"ended", "why", "looks": [{"weight", "stable", "canary", "said"}]}: the weights of
the HTTPRoute are set, real requests are sent through this Pod's proxy and counted by the version that answered, and
`function(weight, stable, canary)` says how to go on (rollout.py). At the end the route is as the rollout ended: all to
the canary, or all to stable.

Settings: `url` (default http://web/), `route` (default web), `stable` and `canary` (Services, default web-v1 and
web-v2), `versions` (what they say of themselves, default 1 and 2), `batch` (requests before each look, default 400).
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.operators import learner
from labsupport.patience import patient
from labsupport.shop import load, rollout
from labsupport.shop.rollout import Counts, Look
from labsupport.shop.server import Answer, Request, run

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
GATEWAY_API = "gateway.networking.k8s.io/v1"
IN_FORCE = patient(10.0)  # seconds for the proxies to have new weights
LIMIT = 2.0  # seconds for one decision before it is told that it takes long
CONNECTIONS = 4


@dataclass(frozen=True)
class Settings:
    """What is rolled out, and by which route."""

    url: str = "http://web/"
    route: str = "web"
    stable: str = "web-v1"
    canary: str = "web-v2"
    versions: tuple[str, str] = ("1", "2")
    batch: int = 400

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Settings:
        """From those of `lab.deploy`; others are of no interest here."""
        known = {key: value for key, value in given.items() if key in cls.__dataclass_fields__}
        if "versions" in known:
            known["versions"] = tuple(map(str, known["versions"]))
        return cls(**known)


def weights(settings: Settings, percent: int) -> dict[str, Any]:
    """The merge patch of an HTTPRoute by which the canary gets so many percent."""
    shares = ((settings.stable, 100 - percent), (settings.canary, percent))
    backends = [{"name": name, "port": 80, "weight": weight} for name, weight in shares]
    return {"spec": {"rules": [{"backendRefs": backends}]}}


def in_force(generation: int) -> Any:
    """The condition that all proxies have acknowledged an HTTPRoute of this generation."""

    def look(found: list[dict[str, Any]]) -> kube.Seen:
        parents = ((found[0].get("status") or {}).get("parents") or []) if found else []
        conditions = [each for parent in parents for each in parent.get("conditions") or []]
        told = {each["type"]: each for each in conditions if each.get("observedGeneration", 0) >= generation}
        programmed = told.get("Programmed", {})
        refused = told.get("Accepted", {}).get("status") == "False"
        text = f"HTTPRoute: {programmed.get('message') or programmed.get('reason') or 'not programmed yet'}"
        return kube.Seen(programmed.get("status") == "True", text, failed=refused)

    return look


class Canary:
    """Makes rollouts, one at a time."""

    def __init__(self, api: ApiClient, namespace: str, function: learner.Learner) -> None:
        self._api, self._namespace, self._function = api, namespace, function
        self._settings = Settings.read(function.settings)
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Answer:
        """POST /rollout."""
        if (request.method, request.path) != ("POST", "/rollout"):
            return Answer(404, {"error": "there is POST /rollout"})
        if not self._lock.acquire(blocking=False):
            return Answer(409, {"error": "a rollout is under way"})
        ended = rollout.STOPPED  # also if the function raises
        try:
            made = rollout.roll_out(self._decide, self._send, self._told)
            ended = rollout.WHOLE if made.ended == rollout.PROMOTED else rollout.STOPPED
        finally:
            try:
                self._set(ended)
            finally:
                self._lock.release()
        looks = [each.as_dict() for each in made.looks]
        return Answer(200, {"ended": made.ended, "why": made.why, "looks": looks})

    def _decide(self, weight: int, stable: Counts, canary: Counts) -> Any:
        about = f"weight={weight}, stable={tuple(stable)}, canary={tuple(canary)}"
        return self._function(weight, stable, canary, about=about, limit=LIMIT)

    def _told(self, look: Look) -> None:
        print(
            f"{look.weight} %: stable {tuple(look.stable)}, canary {tuple(look.canary)} -> {look.said}",
            flush=True,
        )

    def _send(self, weight: int) -> tuple[Counts, Counts]:
        if weight != self._now:
            self._set(weight)
        settings = self._settings
        came = load.generate(load.Plan(settings.url, connections=CONNECTIONS, requests=settings.batch))
        of = [
            Counts(int(came["by_version"].get(each, 0)), int(came["failed_by_version"].get(each, 0)))
            for each in settings.versions
        ]
        return of[0], of[1]

    _now = -1  # the percent that the route says

    def _set(self, percent: int) -> None:
        path = f"/apis/{GATEWAY_API}/namespaces/{self._namespace}/httproutes/{self._settings.route}"
        made = kube.patch(self._api, path, weights(self._settings, percent))
        target = kube.Target(GATEWAY_API, "HTTPRoute", self._settings.route, self._namespace)
        kube.until(self._api, target, in_force(made["metadata"]["generation"]), timeout=IN_FORCE)
        self._now = percent


def main() -> int:
    """Serve until the Pod ends."""
    function = learner.load()
    with open(NAMESPACE) as file:
        namespace = file.read()
    return run("canary", Canary(kube.connect_in_pod(), namespace, function))


if __name__ == "__main__":
    sys.exit(main())
