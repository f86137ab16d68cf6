"""kopf's handlers outside of kopf: a learner's function called as kopf would call it, on states that nobody has seen.

Used by lab O3's checks, in the process of the learner's function. The handler reaches the API by the official client's
default (`client.CoreV1Api()`), which is the API server in memory here.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import logging
import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from labsupport.course.lessons.memory import Killed, MemoryApi, Object
from labsupport.course.lessons.shepherding import GROUP, NAMESPACE, SHEEP, Finding, State, run_state

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Handler = Callable[..., Any]
ATTEMPTS = 3  # calls of a handler that raises, after which it is taken to raise for ever
MOST = 30  # requests of one call, after which it is taken to go on for ever
REGISTER = "register"
SITUATIONS = ("there", "gone", "no register", "refused", "another writer", "alone", "forbidden")


def call(handler: Handler, api: ApiClient, body: Object, reason: str, patch: Any, retry: int = 0) -> None:
    """Call a handler of a change as kopf does. It fills `patch`, a kopf.Patch, which kopf sends even if it raises.

    Errors: whatever the handler raises. A TemporaryError that a refusal of the API led to is that refusal.
    """
    import kopf
    from kubernetes import client

    client.ApiClient.set_default(api)  # type: ignore[no-untyped-call]
    view: Any = kopf.Body(cast(Any, copy.deepcopy(body)))
    named = {
        **{"body": view, "spec": view.spec, "meta": view.metadata, "status": view.status, "patch": patch},
        **{"name": body["metadata"]["name"], "namespace": NAMESPACE, "uid": body["metadata"]["uid"]},
        **{"labels": view.metadata.labels, "annotations": view.metadata.annotations, "memo": kopf.Memo()},
        **{"reason": reason, "retry": retry, "diff": (), "old": None, "new": None, "param": None},
        **{"logger": logging.getLogger("handler"), "started": None, "runtime": None, "resource": None},
    }
    try:
        result = handler(**named)
        if inspect.iscoroutine(result):
            asyncio.run(result)
    except kopf.TemporaryError as error:
        refusal = error.__cause__ or error.__context__
        if isinstance(refusal, client.ApiException):
            raise refusal from error
        raise


def run_tending(handler: Handler, seeds: Iterable[int]) -> Finding | None:
    """The first thing that is wrong with a handler that brings flocks into order and says so in their status."""
    for seed in seeds:
        if wrong := _sheep(handler, seed) or _said(handler, seed) or _refused(handler, seed):
            return wrong
    return None


def _generation(flock: Object, seed: int) -> Object:
    flock["metadata"]["generation"] = 2 + 3 * seed % 11
    return flock


def _sheep(handler: Handler, seed: int) -> Finding | None:
    def once(core: Any, flock: Object) -> None:
        call(handler, core.api_client, _generation(flock, seed), "update", _patch())

    return run_state(once, seed)


def _patch() -> Any:
    import kopf

    return kopf.Patch()


def _ran(handler: Handler, state: State, seed: int) -> tuple[Object, Exception | None]:
    """Call the handler once in a state; returns the status that it set, and what it raised."""
    patch = _patch()

    def once(core: Any, flock: Object) -> None:
        call(handler, core.api_client, flock, "update", patch)

    _generation(state.flock, seed)
    error = state.run(once)
    return dict(patch.get("status") or {}), error


def _said(handler: Handler, seed: int) -> Finding | None:
    state = State(seed)
    status, _ = _ran(handler, state, seed)
    size, generation = state.flock["spec"]["size"], state.flock["metadata"]["generation"]
    about = f"The state was {state}, at generation {generation}."
    if "sheep" not in status or "observedGeneration" not in status:
        absent = "sheep" if "sheep" not in status else "observedGeneration"
        return Finding("no-status", f"{about} The handler's patch has nothing for status.{absent}.")
    if status["sheep"] != size:
        return Finding(
            "status", f"{about} Afterwards there are {size} sheep, and status.sheep is {status['sheep']!r}."
        )
    if status["observedGeneration"] != generation:
        said = status["observedGeneration"]
        return Finding("generation", f"{about} status.observedGeneration is {said!r} afterwards.")
    return None


def _refused(handler: Handler, seed: int) -> Finding | None:
    """The first write is refused with 500: the handler must say so, and must not claim to be done."""
    state = State(seed)
    state.fail_at = 0
    status, error = _ran(handler, state, seed)
    if not any(each.status == 500 for each in state.server.requests):
        return None
    about = f"The state was {state}, and the first write was answered with 500."
    if error is None:
        return Finding("swallows", f"{about} The handler returned as if nothing had happened.")
    if status.get("observedGeneration") == state.flock["metadata"]["generation"]:
        return Finding(
            "claims",
            f"{about} The handler raised, and its patch says all the same that this generation is done.",
        )
    return None


class Registered:
    """A namespace in memory with a register, in which flocks stand, and one flock that is being deleted."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.situation = SITUATIONS[seed % len(SITUATIONS)]
        names = ["hill", "moor", "lea", "down", "fen"]
        chance.shuffle(names)
        self.name, *others = names
        if self.situation == "alone":
            others = []
        self.others = {
            each: f"brand {number}" for number, each in enumerate(others[: chance.randint(1, 4)], 2)
        }
        self.place = f"{SHEEP}/{REGISTER}"
        self._asked = self._refusals = 0
        self._came = False
        self.server = MemoryApi({"configmaps": "ConfigMap"}, self._before)
        if self.situation != "no register":
            data = dict(self.others)
            if self.situation != "gone":
                data[self.name] = "brand 1"
            self.server.create(SHEEP, {"metadata": {"name": REGISTER}, "data": data})
        self.flock: Object = {
            "apiVersion": GROUP,
            "kind": "Flock",
            "metadata": {"name": self.name, "namespace": NAMESPACE, "uid": f"u-{seed}", "generation": 2},
            "spec": {"size": chance.randint(0, 5), "colour": "white"},
        }
        self.flock["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    def _before(self, method: str, path: str) -> int | None:
        self._asked += 1
        if self._asked > MOST:
            raise Killed
        if method == "GET":
            return None
        if self.situation == "forbidden":
            return 403
        if self.situation == "refused" and not self._refusals:
            self._refusals += 1
            return 500
        if self.situation == "another writer" and not self._came:
            self._came = True
            self.others["heath"] = "brand 9"
            self.server.change(self.place, lambda each: each["data"].update(heath="brand 9"))
        return None

    def called(self, handler: Handler, retry: int) -> Exception | None:
        """Call the handler once; returns what it raised."""
        self._asked = 0
        try:
            call(handler, self.server.client(), self.flock, "delete", _patch(), retry)
        except Exception as error:
            return error
        return None

    def data(self) -> dict[str, str] | None:
        """What stands in the register; None if there is none."""
        stored = self.server.objects.get(self.place)
        return None if stored is None else dict(stored.get("data") or {})

    def __str__(self) -> str:
        return {
            "there": f"{self.name} and {len(self.others)} other flocks stand in the register",
            "alone": f"{self.name} alone stands in the register",
            "gone": f"{len(self.others)} other flocks stand in the register, and {self.name} does not",
            "no register": "there is no register",
            "refused": f"{self.name} stands in the register, and the first write is answered with 500",
            "another writer": f"{self.name} stands in the register, and another flock is entered at the same time",
            "forbidden": f"{self.name} stands in the register, and each write is answered with 403",
        }[self.situation]


def run_striking(handler: Handler, seeds: Iterable[int]) -> Finding | None:
    """The first thing that is wrong with a handler that strikes a deleted flock out of the register."""
    for seed in seeds:
        if wrong := _struck(handler, Registered(seed)):
            return wrong
    return None


def _struck(handler: Handler, here: Registered) -> Finding | None:
    about = f"Flock {here.name} is being deleted; {here}."
    error: Exception | None = None
    try:
        for retry in range(ATTEMPTS):
            error = here.called(handler, retry)
            if error is None:
                break
    except Killed:
        return Finding("endless-requests", f"{about} After {MOST} requests the handler still asked for more.")
    data = here.data()
    if here.situation == "forbidden":
        # Nothing can be done, and whoever writes is to say so, each time.
        if error is not None:
            return None
        return Finding(
            "swallows", f"{about} The handler returned as if it had been struck out, and it was not."
        )
    if error is not None:
        last = f" The last request was {here.server.requests[-1]}." if here.server.requests else ""
        return Finding(
            "fails-for-ever",
            f"{about} The handler raised {type(error).__name__} in each of {ATTEMPTS} attempts.{last}",
        )
    if here.situation == "no register":
        return Finding("makes-one", f"{about} Afterwards there is one.") if data is not None else None
    if data is None:
        return Finding("others", f"{about} Afterwards there is no register.")
    if here.name in data:
        if any(each.status == 500 for each in here.server.requests):
            return Finding(
                "swallows", f"{about} The handler returned as if it had been struck out, and it was not."
            )
        return Finding("entry-stays", f"{about} Afterwards it still stands there.")
    if data != here.others:
        return Finding("others", f"{about} Afterwards what stands there for other flocks is not what it was.")
    return None
