"""m4-snapshot: the learner's function on objects that the notebook does not show, then the control plane made of it,
with objects of the check's own in the lab's namespace.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterator

from labsupport.course.deploy import Deployed
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons import routing
from labsupport.course.lessons.routing import Asked, Objects

from .live import Shelf, control_plane, settled

PLACE = "what snapshot returns"
LOOKS = {
    "not-ready": "Which endpoints may get requests? Those that say that they are not ready may not.",
    "port": "A slice has ports with names. Which of them belongs to the port of the Service, and what is its number?",
    "slices": "A Service has any number of slices, and each may have any number of endpoints, also the same one twice.",
    "host": "Compare the `domains` of the virtual hosts with the host that was asked for.",
    "match": "Which requests is the match of the rule true for, and which does your `match` take?",
    "order": "Envoy takes the first route that matches. Which of the matches of all rules has to be asked first?",
    "share": "How many of a hundred requests should each backend get? A weight that is not given is 1.",
    "backend": "What is left of the rule's backends that can be asked, and what if nothing is?",
    "parent": "Which routes are for this Service? Look at each of their `parentRefs`.",
    "no-rule": "What happens to a request that no rule of the Service's routes is for?",
}
REFUSED_LOOK = {
    "no-listener": "`listener` in the cell makes one.",
    "no-routes": "The name that the listener asks for is the `name` of a route configuration.",
    "warming": "A cluster that waits is not used, not even to say that nobody is there. An assignment may be empty.",
    "refused": "Envoy checks what it gets as a whole: one such entry, and all routes stay as they were.",
}


def _cases() -> Iterator[tuple[str, str, Objects, list[Asked]]]:
    """What the function is tried on: the finding if it fails, a description, the objects, requests."""
    one, two = routing.world(["web", "tea"])
    ask = Asked("web", "/any")
    yield (
        "host",
        "two Services without routes",
        Objects(one, two, []),
        [ask, Asked("tea", "/"), Asked("web:80", "/")],
    )
    yield "host", "a name that no Service has", Objects(one, two, []), [Asked("coffee", "/")]
    ports = routing.service("web", ("http", 8000), ("metrics", 80))
    both = routing.endpoint_slice("web", [("metrics", 9100), ("http", 8081)], ("10.8.9.1", True))
    yield (
        "port",
        "a Service with two ports",
        Objects([ports], [both], []),
        [Asked("web", "/"), Asked("web:80", "/"), Asked("web:8000", "/")],
    )
    bare = routing.service("web", ("", 80))
    yield (
        "port",
        "a Service whose port has no name",
        Objects([bare], [routing.endpoint_slice("web", [("", 5000)], ("10.8.9.2", True))], []),
        [ask],
    )
    mixed = routing.endpoint_slice(
        "web", [("http", 8080)], ("10.8.9.3", True), ("10.8.9.4", False), ("10.8.9.5", None)
    )
    yield (
        "not-ready",
        "an endpoint that is not ready, and one that does not say",
        Objects(one[:1], [mixed], []),
        [ask],
    )
    more = [
        routing.endpoint_slice("web", [("http", 8080)], ("10.8.9.6", True), ("10.8.9.7", True)),
        routing.endpoint_slice("web", [("http", 8080)], ("10.8.9.7", True), ("10.8.9.8", True), number=1),
    ]
    yield "slices", "an endpoint that is in two slices", Objects(one[:1], more, []), [ask]
    yield "slices", "a Service without slices", Objects(one, two[1:], []), [ask, Asked("tea", "/")]
    empty = routing.endpoint_slice("web", [("http", 8080)])
    empty["endpoints"] = None
    yield (
        "slices",
        "a slice whose endpoints are None",
        Objects(one, [empty, two[1]], []),
        [ask, Asked("tea", "/")],
    )
    for kind, value in (
        ("PathPrefix", "/mix"),
        ("PathPrefix", "/mix/"),
        ("Exact", "/mix"),
        ("Exact", "/m.x"),
    ):
        single = routing.route(
            "a", "web", routing.rule(("tea", None), paths=[(kind, value)]), routing.rule(("web", None))
        )
        yield (
            "match",
            f"a {kind} match and a rule for all the rest",
            Objects(one, two, [single]),
            [Asked("web", path) for path in ("/mix", "/mix/", "/mix/a", "/mixer", "/", "/a/mix")],
        )
    word = routing.route(
        "a",
        "web",
        routing.rule(("tea", None), paths=[("RegularExpression", "/[a-z]+/[0-9]+")]),
        routing.rule(("web", None)),
    )
    yield (
        "match",
        "a match by a regular expression and a rule for all the rest",
        Objects(one, two, [word]),
        [Asked("web", path) for path in ("/cup/12", "/cup/12/a", "/cup", "/")],
    )
    flagged = routing.route(
        "a",
        "web",
        routing.rule(("tea", None), headers={"X-Kind": "green", "x-size": "1"}),
        routing.rule(("web", None)),
    )
    yield (
        "match",
        "a match on two headers and a rule for all the rest",
        Objects(one, two, [flagged]),
        [
            Asked("web", "/a", given)
            for given in (
                {},
                {"x-kind": "green"},
                {"x-kind": "green", "x-size": "1"},
                {"x-kind": "black", "x-size": "1"},
            )
        ],
    )
    yield (
        "no-rule",
        "a request that no rule is for",
        Objects(one, two, [routing.route("a", "web", routing.rule(("tea", None), paths=[("Exact", "/a")]))]),
        [Asked("web", "/b"), Asked("web", "/a")],
    )
    general = routing.rule(("web", None))
    three, four = routing.world(["web", "tea", "long"])
    rules = [
        general,
        routing.rule(("tea", None), paths=[("PathPrefix", "/a")]),
        routing.rule(("long", None), paths=[("PathPrefix", "/a/b")]),
    ]
    paths = [Asked("web", path) for path in ("/", "/a", "/a/x", "/a/b", "/a/b/c")]
    yield (
        "order",
        "prefixes of which one contains the other",
        Objects(three, four, [routing.route("a", "web", *rules)]),
        paths,
    )
    apart = [routing.route(f"r{at}", "web", each) for at, each in enumerate(rules)]
    yield "order", "three routes of one Service, one rule in each", Objects(three, four, apart), paths
    kinds = routing.route(
        "a", "web", general,
        routing.rule(("long", None), paths=[("RegularExpression", "/a/.*")]),
        routing.rule(("web", None), paths=[("RegularExpression", "/a/[x-z]")]),
        routing.rule(("web", None), paths=[("PathPrefix", "/a/b")]),
        routing.rule(("tea", None), paths=[("Exact", "/a/b")]),
    )  # fmt: skip
    yield (
        "order",
        "an exact path, a prefix, two regular expressions, and a rule for all the rest",
        Objects(three, four, [kinds]),
        [*paths[1:], Asked("web", "/a/c")],
    )
    headers = routing.route(
        "a", "web",
        routing.rule(("web", None), paths=[("PathPrefix", "/a")]),
        routing.rule(("tea", None), paths=[("PathPrefix", "/a")], headers={"x-kind": "green"}),
    )  # fmt: skip
    yield (
        "order",
        "the same prefix with and without a header",
        Objects(three, four, [headers]),
        [Asked("web", "/a"), Asked("web", "/a", {"x-kind": "green"})],
    )
    several = routing.route(
        "a",
        "web",
        routing.rule(("tea", None), paths=[("Exact", "/x"), ("Exact", "/y"), ("PathPrefix", "/z")]),
        general,
    )
    yield (
        "match",
        "a rule with three matches",
        Objects(one, two, [several]),
        [Asked("web", path) for path in ("/x", "/y", "/z/a", "/y/a", "/a")],
    )
    for backends in ((("web", 90), ("tea", 10)), (("web", None), ("tea", 3)), (("web", 5), ("tea", 0))):
        split = routing.route("a", "web", routing.rule(*backends))
        yield "share", "two backends of different weights", Objects(one, two, [split]), [ask]
    for backends, what in (
        ((("web", 0), ("tea", 0)), "a rule whose weights are all 0"),
        ((("gone", None),), "a rule to a Service that does not exist"),
        ((), "a rule without backends"),
    ):
        broken = routing.route("a", "web", routing.rule(*backends))
        yield "backend", what, Objects(one, two, [broken]), [ask, Asked("tea", "/")]
    gate = routing.route("a", "web", routing.rule(("tea", None)), kind="Gateway")
    yield "parent", "a route of a Gateway that has the Service's name", Objects(one, two, [gate]), [ask]
    twofold = routing.route("a", "other", routing.rule(("tea", None)))
    twofold["spec"]["parentRefs"].append({"group": "", "kind": "Service", "name": "web"})
    yield "parent", "a route with two parents", Objects(one, two, [twofold]), [ask]
    chosen = random.Random("m4-snapshot")
    for at in range(6):
        yield "order", f"a mixture of Services and routes, number {at + 1}", *_mixture(chosen)


def _mixture(chosen: random.Random) -> tuple[Objects, list[Asked]]:
    names = chosen.sample(["ash", "birch", "cedar", "elm", "fir"], 4)
    services, slices = routing.world(names)
    pieces = ["/a", "/a/b", "/b", "/c/d"]
    routes = []
    for at in range(chosen.randrange(1, 4)):
        parent = chosen.choice(names[:2])
        rules = []
        for path in chosen.sample(pieces, 2):
            kind = chosen.choice(["Exact", "PathPrefix"])
            backends = [
                (name, chosen.choice([None, 1, 4])) for name in chosen.sample(names, chosen.randrange(1, 3))
            ]
            # A path of its own for each route, so that no two matches are alike.
            rules.append(routing.rule(*backends, paths=[(kind, f"{path}{at}")]))
        routes.append(routing.route(f"{parent}-{at}", parent, *rules))
    asked = [
        Asked(name, f"{path}{at}{more}")
        for name in names[:3]
        for path in pieces
        for at in range(3)
        for more in ("", "/e")
    ]
    return Objects(services, slices, routes), asked


def _hosts(shares: routing.Shares) -> set[object]:
    """Who is asked, whatever the port."""
    return {each if isinstance(each, int) else each[0] for each in shares}


def snapshot_offline(probe: Probe) -> Outcome:
    """m4-snapshot, without the cluster: who would get the requests, against who should."""
    from labsupport.operators import configuration

    count = requests = 0
    with probe.function("snapshot", parameters=3) as call:
        for finding, about, objects, asked in _cases():
            count += 1
            result = call(objects.services, objects.slices, objects.routes, about=about)
            try:
                state = configuration.read(result)
                configuration.check(state)
                routing.examine(state)
                for each in asked:
                    requests += 1
                    wanted, found = routing.by_objects(objects, each), routing.by_snapshot(state, each)
                    if wanted != found:
                        if _hosts(wanted) == _hosts(found) and set(wanted) != set(found):
                            finding = "port"
                        return not_yet(
                            f"m4-snapshot/{finding}",
                            f"For {about}: {each} would be answered by {routing.in_words(found)}.",
                            PLACE,
                            LOOKS[finding],
                        )
            except routing.Refused as refused:
                return not_yet(
                    f"m4-snapshot/{refused.finding}",
                    f"For {about}: {refused}.",
                    PLACE,
                    REFUSED_LOOK[refused.finding],
                )
            except ValueError as error:
                return not_yet(
                    "m4-snapshot/no-snapshot",
                    f"For {about}, no configuration can be made of the result: {error}.",
                    PLACE,
                    "The helpers in the cell make what Envoy can read; compare the names and the nesting.",
                )
            again = objects.shuffled(count)
            if result != call(again.services, again.slices, again.routes, about=about):
                return not_yet(
                    "m4-snapshot/unsteady",
                    f"For {about}: the same objects in another order give another result.",
                    PLACE,
                    "The objects come in no order. What differs is sent again, though nothing has changed.",
                )
    return passed(f"{requests} requests would be answered as {count} sets of objects want it.", PLACE)


def snapshot_live(probe: Probe) -> Outcome:
    """m4-snapshot, live: a Service and a route of the check's own come, change and go, and requests follow."""
    plane = control_plane(probe, "m4-snapshot")
    began = time.monotonic()
    with Shelf(probe, f"shelf-{secrets.token_hex(3)}") as shelf:
        first, second = shelf.pods()
        shelf.serve(first, second)
        _reached(
            probe, plane, shelf, "/", {first.name, second.name}, "a Service was made, with two Pods behind it"
        )
        appeared = time.monotonic() - began
        shelf.serve(second)
        _reached(
            probe, plane, shelf, "/", {second.name}, "one of the two Pods behind a Service was taken away"
        )
        shelf.route("/new", "web-next")
        nexts = {pod["metadata"]["name"] for pod in probe.list("v1", "Pod", labels="app=web-next")}
        _reached(probe, plane, shelf, "/new/a", nexts, "a route sends /new to another Service")
        shelf.route("/newer", "web-next")
        _reached(probe, plane, shelf, "/newer", nexts, "the route was changed: /newer, and no longer /new")
        _reached(
            probe, plane, shelf, "/new/a", {second.name}, "the route was changed: /newer, and no longer /new"
        )
    return passed(
        f"A new Service was known to the proxy after {appeared:.1f} s, a Pod that was taken away got no request any "
        "more, and a route that changed was obeyed.",
        f"requests for {shelf.name} through the proxy",
    )


def _reached(probe: Probe, plane: Deployed, shelf: Shelf, path: str, pods: set[str], after: str) -> None:
    """Errors: Rejected if requests do not come to all these Pods, and to no others, soon."""
    seen = settled(probe, shelf.name, path, pods, plane)
    if seen:
        raise Rejected(
            not_yet(
                "m4-snapshot/not-obeyed",
                f"After {after}: GET {path} of {shelf.name} was answered by {seen}.",
                f"GET {path} of {shelf.name} through the proxy",
                "Your function was right when it was tried here. Is it the one that runs? Deploy it, and look at what "
                "`lab.deploy` says.",
            )
        )
