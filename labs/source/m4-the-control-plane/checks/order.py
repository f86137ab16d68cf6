"""m4-order: the learner's pushes on snapshots that the notebook does not show, followed as a proxy would; then a real
proxy, asked all the time while a Service takes the place of another.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterator
from typing import Any

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons import controlplane
from labsupport.operators import configuration

from .live import Shelf, control_plane, settled

SLOW = 0.2  # seconds between pushes, without which a gap is too short to be met
KINDS = ("clusters", "endpoints", "listeners", "routes")
State = dict[str, dict[str, Any]]
PLACE = "the state after each push"


def _state(listeners: dict[str, str], routes: dict[str, list[str]], clusters: dict[str, int]) -> State:
    """A snapshot: listeners with the routes that they ask for, routes with clusters, clusters with their endpoints."""
    return {
        "clusters": {name: {"name": name, "type": "EDS"} for name in clusters},
        "endpoints": {
            name: {
                "cluster_name": name,
                "endpoints": [
                    {"lb_endpoints": [{"endpoint": {"address": {"socket_address": {
                        "address": f"10.7.0.{number + 1}", "port_value": 8080}}}}]}
                ],
            }
            for name, number in clusters.items()
        },
        "listeners": {
            name: {"name": name, "filter_chains": [{"filters": [{"typed_config": {"rds": {"route_config_name": to}}}]}]}
            for name, to in listeners.items()
        },
        "routes": {
            name: {
                "name": name,
                "virtual_hosts": [
                    {"name": to, "domains": [to], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": to}}]}
                    for to in found
                ],
            }
            for name, found in routes.items()
        },
    }  # fmt: skip


def _cases() -> Iterator[tuple[str, State, State]]:
    shop = {"shop": "shop"}
    empty: State = {kind: {} for kind in KINDS}
    one = _state(shop, {"shop": ["ash"]}, {"ash": 1})
    yield "nothing changes", one, one
    yield "one Service, where there was nothing", empty, one
    yield "nothing, where there was one Service", one, empty
    yield "one Service takes the place of another", one, _state(shop, {"shop": ["elm"]}, {"elm": 2})
    yield "one endpoint changes", one, _state(shop, {"shop": ["ash"]}, {"ash": 3})
    yield "a second Service comes", one, _state(shop, {"shop": ["ash", "elm"]}, {"ash": 1, "elm": 2})
    yield "one of two Services goes", _state(shop, {"shop": ["ash", "elm"]}, {"ash": 1, "elm": 2}), one
    yield "a listener asks for other routes", one, _state({"shop": "new"}, {"new": ["elm"]}, {"elm": 1})
    chosen = random.Random("m4-order")
    names = ["ash", "birch", "cedar", "elm", "fir", "oak"]

    def some() -> State:
        there = chosen.sample(names, chosen.randrange(1, 5))
        routes = {
            each: chosen.sample(there, chosen.randrange(1, len(there) + 1)) for each in ("shop", "back")
        }
        return _state(
            {each: each for each in chosen.sample(["shop", "back"], chosen.randrange(1, 3))},
            routes,
            {name: chosen.randrange(5) for name in there},
        )

    for number in range(16):
        yield f"two snapshots at random, number {number + 1}", some(), some()


def order_offline(probe: Probe) -> Outcome:
    """m4-order, without the cluster: after each push nothing that is named may be missing."""
    count = steps = 0
    with probe.function("pushes", parameters=2) as call:
        for about, before, after in _cases():
            count += 1
            result = call(before, after, about=about)
            if not isinstance(result, list | tuple):
                return not_yet(
                    "m4-order/no-pushes",
                    f"For {about}, `pushes` returned something of the type {type(result).__name__}.",
                    "what pushes returns",
                    "A list of pairs: a type, and a dictionary of names with resources or None.",
                )
            state, outcome = _followed(about, before, after, result)
            if outcome or (outcome := _ended(about, state, after)):
                return outcome
            steps += len(result)
    return passed(f"In {count} changes, by {steps} pushes, nothing was named that was not there.", PLACE)


def _followed(about: str, before: State, after: State, pushes: Any) -> tuple[State, Outcome | None]:
    state = before
    for number, push in enumerate(pushes, 1):
        was = state
        try:
            state = configuration.pushed(was, push)
        except ValueError as error:
            return state, not_yet(
                "m4-order/no-pushes",
                f"For {about}, push {number} cannot be followed: {error}.",
                "what pushes returns",
                "A push is a pair of a type and a dictionary of names, as `top_down` makes them.",
            )
        kind, change = push
        place = f"push {number} of {len(pushes)}, {kind}"
        if not change:
            return state, not_yet(
                "m4-order/empty",
                f"For {about}: {place}, has no resources, and the proxy waits for what comes after it.",
                PLACE,
                "Which of the pushes are needed in this case?",
            )
        for name, each in change.items():
            if was[kind].get(name) == each:
                return state, not_yet(
                    "m4-order/again",
                    f"For {about}: {place}, has {name}, which is at the proxy in that form already.",
                    PLACE,
                    "What differs between the two snapshots, and what does not?",
                )
        if missing := _missing(state):
            what, name = missing
            early = name in (after["clusters"] if what == "cluster" else after["routes"])
            gone = name in (before["clusters"] if what == "cluster" else before["routes"])
            finding = "too-late" if early and not gone else "too-soon"
            word = "is not there yet" if finding == "too-late" else "is there no more"
            return state, not_yet(
                f"m4-order/{finding}",
                f"For {about}: after {place}, the {what} {name} is named and {word}.",
                PLACE,
                "What must the proxy have before this push? "
                if finding == "too-late"
                else "Who still names what this push takes away?",
            )
    return state, None


def _missing(state: State) -> tuple[str, str] | None:
    """What a listener or a route names and the proxy has not: what it is, and its name."""
    for listener in state["listeners"].values():
        routes = listener["filter_chains"][0]["filters"][0]["typed_config"]["rds"]["route_config_name"]
        if routes not in state["routes"]:
            return "route configuration", routes
    for found in state["routes"].values():
        for virtual_host in found["virtual_hosts"]:
            for route in virtual_host["routes"]:
                name = route["route"]["cluster"]
                if name not in state["clusters"] or name not in state["endpoints"]:
                    return "cluster", name
    return None


def _ended(about: str, state: State, after: State) -> Outcome | None:
    for kind in KINDS:
        if left := sorted(set(state[kind]) - set(after[kind])):
            return not_yet(
                "m4-order/left-over",
                f"For {about}: at the end the proxy still has {left[0]} among its {kind}.",
                "the state after the last push",
                "What is in `before` and not in `after` has to go some time.",
            )
        for name, each in after[kind].items():
            if state[kind].get(name) != each:
                return not_yet(
                    "m4-order/not-there",
                    f"For {about}: at the end {name} among the {kind} is not what `after` has.",
                    "the state after the last push",
                    "All that is new in `after`, or different from `before`, has to be pushed.",
                )
    return None


def order_live(probe: Probe) -> Outcome:
    """m4-order, live: requests all the time, while a Service takes the place of another."""
    found = control_plane(probe, "m4-order")
    paced = found.settings().get("paced")
    if not isinstance(paced, int | float) or paced < SLOW:
        return not_yet(
            "m4-order/not-paced",
            "The control plane that runs does not make the pushes of your function, with a pause after each.",
            f"the settings with which {found.name} was deployed",
            "The last line of the exercise's cell: `paced=0.3`.",
        )
    mark = secrets.token_hex(3)
    front, old, new = (Shelf(probe, f"{word}-{mark}") for word in ("front", "old", "new"))
    nexts = {each["metadata"]["name"] for each in probe.list("v1", "Pod", labels="app=web-next")}
    with front, new:
        with old:
            webs = front.pods()
            front.serve(*webs)
            old.serve(*webs)
            front.route("/step", old.name)
            if seen := settled(probe, front.name, "/step", {each.name for each in webs}, found):
                return _unmoved(
                    f"A Service with a route was made; GET /step is answered by {seen}.", front.name
                )
            new.serve(*new.behind("web-next"))
            time.sleep(2 * float(paced))
            with controlplane.asking(probe, front.name, "/step", after=float(paced) * 8) as answers:
                front.route("/step", new.name)
                old.remove()
        if answers.failed:
            bad = next(each for each in answers.runs() if each[2] >= 400 or each[2] == 0)
            return not_yet(
                "m4-order/failed",
                f"While a Service took the place of another, {answers.failed} of {len(answers.got)} requests failed: "
                f"from {bad[0] * 1000:.0f} ms on with status {bad[2]}, answered by {bad[3]}.",
                f"GET /step of {front.name} through the proxy",
                "`control.story` shows what was sent when. Your function was right when it was tried here: deploy it.",
            )
        if seen := settled(probe, front.name, "/step", nexts, found):
            return _unmoved(
                f"A Service took the place of another; GET /step is answered by {seen}.", front.name
            )
    return passed(
        f"While a Service took the place of another, with {paced:g} s after each push, {len(answers.got)} requests "
        "were answered, and none failed.",
        f"GET /step of {front.name} through the proxy",
    )


def _unmoved(text: str, name: str) -> Outcome:
    return not_yet(
        "m4-order/not-obeyed",
        text,
        f"GET /step of {name} through the proxy",
        "Does the control plane that runs call your function? `control.deployed(lab)` shows what went wrong.",
    )
