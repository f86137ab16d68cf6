"""The checks of lab M2. They send requests through the proxy, and ask Envoy itself what it has in force."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons import comparison
from labsupport.course.lessons.proxy import Proxy, Reply, Running
from labsupport.draw.proxymap import Endpoint, Way
from labsupport.errors import LabsError

Json = dict[str, Any]
SETTLE = 8.0  # seconds for a Pod that was made anew
WAIT = 3.0  # seconds for an answer; Envoy gives one within milliseconds, or holds the request for ever
HEADER = "x-preview"


# --- what all of them need


def _serving(probe: Probe, exercise: str) -> tuple[Proxy, Running]:
    """The proxy and its Pod. Errors: Rejected if Envoy does not serve."""
    proxy = Proxy(probe.world)
    running = proxy.running(probe.left(SETTLE))
    if running.serving:
        return proxy, running
    if not running.pod:
        raise Rejected(
            not_yet(
                f"{exercise}/no-proxy",
                running.why,
                f"Deployment proxy in {probe.namespace}",
                f'`lab.start("m2", at="{exercise}")` brings it back.',
            )
        )
    raise Rejected(
        not_yet(
            f"{exercise}/does-not-start",
            running.why,
            f"the log of the Pod {running.pod}",
            "Envoy's words name the place in the file, counted from 0: `routes[1]` is the second route.",
        )
    )


def _names_of(probe: Probe, deployment: str) -> set[str]:
    """Names of the Pods that carry a Deployment's label and belong to one of its ReplicaSets."""
    sets = {
        each["metadata"]["uid"]
        for each in probe.list("apps/v1", "ReplicaSet", labels=f"app={deployment}")
        for owner in each["metadata"].get("ownerReferences") or []
        if owner["name"] == deployment
    }
    return {
        pod["metadata"]["name"]
        for pod in probe.list("v1", "Pod", labels=f"app={deployment}")
        for owner in pod["metadata"].get("ownerReferences") or []
        if owner["uid"] in sets
    }


def _paths(seed: str, count: int) -> list[str]:
    """Paths that stand nowhere in the notebook, the same ones at each call."""
    chosen = random.Random(seed)
    words = ["tea", "cups", "offers", "basket", "about", "press", "jobs", "help"]
    return [f"/{chosen.choice(words)}/{chosen.randrange(100, 1000)}" for _ in range(count)]


def _endpoints(way: Way, cluster: str) -> list[Endpoint]:
    return [each for known in way.clusters if known.name == cluster for each in known.endpoints]


# --- m2-static


def static(probe: Probe) -> Outcome:
    """m2-static: requests for any path are answered by the Pods of web."""
    proxy, running = _serving(probe, "m2-static")
    pods = _names_of(probe, "web")
    answered: dict[str, int] = {}
    paths = ["/", *_paths("m2-static", 7)]
    for number, path in enumerate(paths, 1):
        probe.progress(f"request {number} of {len(paths)} through the proxy")
        reply = proxy.send(path, pod=running.pod, timeout=WAIT)
        if reply.pod not in pods:
            return _not_web(probe, proxy, running, reply)
        answered[reply.pod] = answered.get(reply.pod, 0) + 1
    words = ", ".join(f"{name} {count}" for name, count in sorted(answered.items()))
    return passed(
        f"{len(paths)} of {len(paths)} requests through the proxy were answered by web: {words}.",
        "GET " + paths[-1],
    )


def _not_web(probe: Probe, proxy: Proxy, running: Running, reply: Reply) -> Outcome:
    """Why an answer came from elsewhere, by what Envoy has in force."""
    request = f"GET {reply.path} through the Pod {running.pod}"
    way = proxy.way()
    written = _clusters_written(probe)
    if missing := written - {cluster.name for cluster in way.clusters}:
        return not_yet(
            "m2-static/not-loaded",
            f"The ConfigMap proxy describes {_list(missing)}, and the running Envoy has no such cluster: it was "
            "started before the file was changed, and reads it once.",
            "ConfigMap proxy, against /config_dump of the running Envoy",
            "`configure` starts Envoy anew; so does `labs kubectl rollout restart deployment proxy`.",
        )
    if not reply.reached:
        return not_yet(
            "m2-static/nobody-listens",
            "Nobody takes connections on the port that the Service proxy leads to.",
            request,
            "`lab.proxy().map()` shows the listener with its address. It was right in the file as it was shipped.",
        )
    if not reply.status:
        return not_yet(
            "m2-static/held",
            f"Envoy took the request and did nothing with it: {reply.text}.",
            request,
            "Which filter sends a request on? `lab.proxy().map()` does not show filters; the file as shipped had one.",
        )
    if reply.pod:
        return not_yet(
            "m2-static/other-pods",
            f"It was answered by {reply.pod} (version {reply.version}), which is no Pod of the Deployment web.",
            request,
            "Which name does the endpoint of your cluster ask DNS for?",
        )
    if reply.status < 400:
        return not_yet(
            "m2-static/answers-itself",
            f"Envoy gave the answer itself: {reply.text.strip()[:80]!r}. No other program has seen the request.",
            request,
            "Look at what the route does with a request: `lab.proxy().map()`.",
        )
    if reply.status == 404:
        return not_yet(
            "m2-static/no-route",
            f"Envoy found no route for {reply.path}.",
            request,
            "The routes' matches: which paths are they true of?",
        )
    return _no_upstream(way, reply, request, probe.namespace)


def _no_upstream(way: Way, reply: Reply, request: str, namespace: str) -> Outcome:
    named = {name for each in way.route_lists for route in each.routes for name in route.clusters}
    endpoints = [each for cluster in way.clusters if cluster.name in named for each in cluster.endpoints]
    if not endpoints:
        return not_yet(
            "m2-static/no-endpoint",
            f"Envoy passes requests to {_list(named)}, which has no endpoint: the name it asks DNS for has no address.",
            f"{request}: status {reply.status}",
            f"Under which name is the service found? `labs kubectl -n {namespace} get services`",
        )
    return not_yet(
        "m2-static/no-connection",
        f"Envoy passes requests to {', '.join(each.address for each in endpoints)}, and gets no connection there.",
        f"{request}: status {reply.status}, {reply.text.strip()[:120]}",
        "Compare the port with the one that the Service has, and mind who is asked: the Service, not the Pod.",
    )


def _clusters_written(probe: Probe) -> set[str]:
    """Names of the clusters that the ConfigMap describes; none where it cannot be read."""
    stored = probe.get("v1", "ConfigMap", "proxy") or {}
    try:
        content = yaml.safe_load((stored.get("data") or {}).get("envoy.yaml", ""))
        return {str(each["name"]) for each in content["static_resources"].get("clusters") or []}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return set()


def _list(names: set[str]) -> str:
    return "the cluster " + ", ".join(sorted(names)) if names else "no cluster"


# --- m2-match


@dataclass(frozen=True)
class Case:
    """A request, the version that must answer it, and what it tells when another does."""

    path: str
    version: str
    diagnostic: str
    header: str | None = None

    @property
    def words(self) -> str:
        """The request as a person writes it."""
        return f"GET {self.path}" + (f" with {HEADER}: {self.header}" if self.header is not None else "")


def cases() -> list[Case]:
    """What is sent."""
    first, second, third = _paths("m2-match", 3)
    return [
        Case("/next/a", "2", "too-narrow"),
        Case("/next", "2", "too-narrow"),
        Case("/next/", "2", "too-narrow"),
        Case(f"/next{third}?page=2", "2", "too-narrow"),
        Case("/next/b", "2", "too-narrow", "no"),
        Case("/next/c", "2", "too-narrow", "yes"),
        Case("/", "2", "too-narrow", "yes"),
        Case(first, "2", "too-narrow", "yes"),
        Case("/next-week", "2", "too-narrow", "yes"),
        Case("/", "1", "too-wide"),
        Case(second, "1", "too-wide"),
        Case("/next-week", "1", "too-wide"),
        Case("/nextdoor", "1", "too-wide"),
        Case("/nexttime/next", "1", "too-wide"),
        Case(f"{first}/next/b", "1", "too-wide"),
        Case(second, "1", "any-value", "no"),
        Case(third, "1", "any-value", "yes-please"),
        Case("/next-week", "1", "any-value", ""),
    ]


LOOK = {
    "never-asked": "Routes are asked in order, and the first match decides: `lab.proxy().map()` shows the order.",
    "takes-all": "One of the routes to web-next is true of more than it should be.",
    "too-narrow": "Which of your routes should have matched it? Conditions within one match must all hold.",
    "too-wide": "Compare the kinds of path conditions in the table: some compare characters, one compares parts.",
    "any-value": "Which values of the header is your condition true of?",
}


def match(probe: Probe) -> Outcome:
    """m2-match: two kinds of requests go to version 2, all others to version 1."""
    proxy, running = _serving(probe, "m2-match")
    replies: list[tuple[Case, Reply]] = []
    for case in cases():
        probe.progress(case.words)
        headers = {HEADER: case.header} if case.header is not None else None
        reply = proxy.send(case.path, headers, pod=running.pod, timeout=WAIT)
        replies.append((case, reply))
        if not reply.pod:
            return not_yet(
                "m2-match/no-answer",
                f"{case.words} was answered by {reply.who}"
                + (f" with status {reply.status}" if reply.status else "")
                + f": {reply.text.strip()[:120]}",
                case.words,
                "`lab.proxy().map()`: is there a route that matches, and has its cluster endpoints?",
            )
    wrong = misled([(case, reply.version) for case, reply in replies])
    if not wrong:
        return passed(
            f"{len(replies)} of {len(replies)} requests went to the version that they should.",
            "the answers' field version",
        )
    found, decisive = wrong[0]
    reply = next(reply for case, reply in replies if case is decisive)
    return not_yet(
        f"m2-match/{found}",
        f"{decisive.words} was answered by version {reply.version}, by the Pod {reply.pod}."
        + (f" {len(wrong)} of {len(replies)} requests went astray." if len(wrong) > 1 else ""),
        f"{decisive.words}, the answer's field version",
        LOOK[found],
    )


def misled(answered: Sequence[tuple[Case, str]]) -> list[tuple[str, Case]]:
    """The requests that went to the wrong version, each with what that tells, the most telling first."""
    none_arrive = all(version != "2" for _, version in answered)
    none_stay = all(version == "2" for _, version in answered)
    found = []
    for case, version in answered:
        if version != case.version:
            sign = "never-asked" if none_arrive else "takes-all" if none_stay else case.diagnostic
            found.append((sign, case))
    # Too much explains more than too little, and a path that is too wide more than a header.
    order = ("never-asked", "takes-all", "too-wide", "any-value", "too-narrow")
    return sorted(found, key=lambda each: order.index(each[0]))


# --- m2-discovery

PORT = "http"


def _endpoint(address: str, ready: bool | None, *, said: bool = True) -> Json:
    conditions: Json = {"ready": ready, "serving": ready, "terminating": False} if said else {}
    return {
        "addresses": [address],
        "conditions": conditions,
        "targetRef": {"kind": "Pod", "name": f"web-{address[-3:]}"},
    }


def _slice(endpoints: list[Json] | None, number: int, name: str = "web-a") -> Json:
    ports = [
        {"name": "metrics", "port": 9000 + number % 7, "protocol": "TCP"},
        {"name": PORT, "port": number, "protocol": "TCP"},
    ]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name},
        "addressType": "IPv4",
        "ports": ports if number % 2 else ports[::-1],
        "endpoints": endpoints,
    }


def inputs() -> Iterator[tuple[str, str, list[Json]]]:
    """What the function is tried on, with the diagnostic and a description: single difficulties, then mixtures."""
    yes, no = _endpoint("10.9.0.11", True), _endpoint("10.9.0.12", False)
    yield "left-out", "one slice with one ready endpoint", [_slice([yes], 8080)]
    yield (
        "wrong-port",
        "a slice with two ports",
        [
            _slice([yes], 8181),
        ],
    )
    yield (
        "left-out",
        "two slices",
        [_slice([yes], 8080), _slice([_endpoint("10.9.0.13", True)], 8080, "web-b")],
    )
    yield "not-ready", "one endpoint that is ready and one that is not", [_slice([yes, no], 8080)]
    ending = _endpoint("10.9.0.16", False)
    ending["conditions"] |= {"serving": True, "terminating": True}
    yield (
        "not-ready",
        "an endpoint that is ending and serves the rest of its requests",
        [_slice([yes, ending], 8080)],
    )
    yield "unsaid", "an endpoint whose ready is None", [_slice([_endpoint("10.9.0.14", None)], 8080)]
    yield (
        "unsaid",
        "an endpoint without conditions",
        [_slice([_endpoint("10.9.0.15", None, said=False)], 8080)],
    )
    yield (
        "twice",
        "an endpoint that stands in two slices",
        [_slice([yes], 8080), _slice([yes], 8080, "web-b")],
    )
    yield "wrong-shape", "no slices", []
    yield "wrong-shape", "a slice whose endpoints are None", [_slice(None, 8080)]
    chosen = random.Random("m2-discovery")
    for count in range(12):
        slices = []
        for part in range(chosen.randrange(1, 4)):
            endpoints = [
                _endpoint(
                    f"10.{count}.{part}.{chosen.randrange(2, 250)}", chosen.choice((True, True, None, False))
                )
                for _ in range(chosen.randrange(0, 5))
            ]
            slices.append(_slice(endpoints, chosen.choice((8080, 8081, 9090)), f"web-{part}"))
        yield "left-out", f"{len(slices)} slices with ready and other endpoints", slices


def expected_of(slices: Sequence[Json]) -> set[tuple[str, int]]:
    """The addresses that may get requests (discovery.k8s.io/v1: a condition `ready` that is not set counts as true)."""
    return {
        (endpoint["addresses"][0], port["port"])
        for each in slices
        for port in each["ports"]
        if port["name"] == PORT
        for endpoint in each["endpoints"] or []
        if endpoint["conditions"].get("ready") is not False
    }


def addresses_of(assignment: object) -> list[tuple[str, int]]:
    """The addresses in a ClusterLoadAssignment. Errors: ValueError says where it is none."""
    if not isinstance(assignment, dict):
        raise ValueError(f"it is of the type {type(assignment).__name__}, not a dictionary")
    if assignment.get("cluster_name") != "web":
        raise ValueError("its cluster_name is not that of the cluster in the proxy's configuration")
    unknown = set(assignment) - {"cluster_name", "endpoints", "@type"}
    if unknown:
        raise ValueError(
            f"it has {', '.join(sorted(map(str, unknown)))}, which a ClusterLoadAssignment has not"
        )
    found = []
    try:
        for locality in assignment.get("endpoints") or []:
            for entry in locality["lb_endpoints"]:
                socket = entry["endpoint"]["address"]["socket_address"]
                found.append((str(socket["address"]), int(socket["port_value"])))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"an address in it is not where it should be ({type(error).__name__}: {error})"
        ) from error
    return found


def discovery_offline(probe: Probe) -> Outcome:
    """m2-discovery, without the cluster: the function on slices that the notebook does not show."""
    count = 0
    with probe.function("assignment", parameters=1) as call:
        for diagnostic, about, slices in inputs():
            count += 1
            result = call(slices, about=about)
            try:
                found = addresses_of(result)
            except ValueError as error:
                return not_yet(
                    "m2-discovery/wrong-shape",
                    f"For {about}, `assignment` returned no ClusterLoadAssignment: {error}.",
                    "what assignment returns",
                    "Compare with `load_assignment` in the static file: the same names, nested in the same way.",
                )
            if outcome := _judged(diagnostic, about, found, slices):
                return outcome
    return passed(
        f"`assignment` is right for {count} inputs that the notebook does not show.",
        "what assignment returns",
    )


def _judged(
    diagnostic: str, about: str, found: list[tuple[str, int]], slices: Sequence[Json]
) -> Outcome | None:
    wanted = expected_of(slices)
    known = {endpoint["addresses"][0] for each in slices for endpoint in each["endpoints"] or []}
    place = "the addresses in what assignment returns"
    if invented := sorted({ip for ip, _ in found} - known):
        return not_yet(
            "m2-discovery/invented",
            f"For {about}, the result has {invented[0]}, which the input has not.",
            place,
            "Where in your function does an address come from, if not from its argument?",
        )
    if {ip for ip, _ in found} == {ip for ip, _ in wanted} and len(set(found)) < len(found):
        return not_yet(
            "m2-discovery/twice",
            f"For {about}, {len(found)} endpoints came out, and {len(set(found))} of them differ.",
            place,
            "An endpoint that is listed twice gets twice the requests.",
        )
    if {ip for ip, _ in found} == {ip for ip, _ in wanted} and set(found) != wanted:
        return not_yet(
            "m2-discovery/wrong-port",
            f"For {about}, the addresses are right, and {_ports(found)} is not the port that the slices call {PORT}.",
            place,
            "A slice may have several ports; their order means nothing, their names do.",
        )
    refused = {ip for ip, _ in found} - {ip for ip, _ in wanted}
    if refused:
        return not_yet(
            "m2-discovery/not-ready",
            f"For {about}, the result has {sorted(refused)[0]}, which is not ready.",
            place,
            "Requests to it would fail, or reach a program that is ending.",
        )
    missing = sorted({ip for ip, _ in wanted} - {ip for ip, _ in found})
    if missing:
        kind = diagnostic if diagnostic in ("unsaid", "left-out") else "left-out"
        return not_yet(
            f"m2-discovery/{kind}",
            f"For {about}, the result lacks {missing[0]}, which may get requests.",
            place,
            "Does your function look at every slice, and at every endpoint in it, and what does it make of a condition "
            "that is not there?",
        )
    return None


def _ports(found: Sequence[tuple[str, int]]) -> str:
    return ", ".join(str(number) for number in sorted({number for _, number in found}))


def discovery(probe: Probe) -> Outcome:
    """m2-discovery, live: the running Envoy has the ready Pods of web as its endpoints, from the file."""
    proxy, running = _serving(probe, "m2-discovery")
    way = proxy.way()
    cluster = next((each for each in way.clusters if each.name == "web"), None)
    if cluster is None or "file" not in cluster.source:
        return not_yet(
            "m2-discovery/not-by-file",
            "The cluster web of the running Envoy does not get its endpoints from a file.",
            "/config_dump of the running Envoy",
            'Apply `start/dynamic.yaml` again, or `lab.start("m2", at="m2-discovery")`.',
        )
    wanted = {f"{ip}:{port}" for ip, port in expected_of(proxy.slices("web"))}
    have = {each.address for each in cluster.endpoints}
    if have != wanted:
        gone, new = sorted(have - wanted), sorted(wanted - have)
        parts = [f"lacks {', '.join(new)}"] if new else []
        parts += [f"has {', '.join(gone)}, where no ready Pod of web is"] if gone else []
        return not_yet(
            "m2-discovery/stale" if have else "m2-discovery/not-pushed",
            f"The running Envoy {' and '.join(parts)}.",
            "/clusters of the running Envoy, against the EndpointSlices of web",
            "The function is right; the file is what it was when it was pushed last. Push it now.",
        )
    pods: set[str] = set()
    for path in _paths("m2-discovery", 2 * len(wanted)):
        reply = proxy.send(path, pod=running.pod)
        if not reply.pod:
            return not_yet(
                "m2-discovery/no-answer",
                f"GET {path} was answered by {reply.who} with status {reply.status}: {reply.text.strip()[:120]}",
                f"GET {path} through the proxy",
                "Do the Pods listen on the port that the endpoints have?",
            )
        pods.add(reply.pod)
    return passed(
        f"Envoy has the {len(wanted)} ready Pods of web, from the file, and {2 * len(wanted)} requests reached "
        f"{len(pods)} of them.",
        "/clusters of the running Envoy, and real requests",
    )


# --- m2-refused


def refused(probe: Probe) -> Outcome:
    """m2-refused: a rejected file, then an accepted one, in the same process."""
    proxy, running = _serving(probe, "m2-refused")
    counters = {
        name.rpartition(".")[2]: value
        for name, value in proxy.counters(r"http\..*\.rds\..*\.update_\w+").items()
    }
    if not counters.get("update_rejected"):
        if counters.get("update_failure"):
            return not_yet(
                "m2-refused/unreadable",
                f"This Envoy could not read {counters['update_failure']} routes file(s), and has rejected none.",
                "the counters update_failure and update_rejected of the running Envoy",
                "To be rejected, a file must be one that Envoy understands: the right YAML with a wrong meaning.",
            )
        return not_yet(
            "m2-refused/nothing-rejected",
            "The Envoy that runs now has rejected no routes file. (A restart sets its counters to zero.)",
            f"the counter update_rejected of the Pod {running.pod}",
            "`push` says what Envoy made of a file. Not everything that is wrong is rejected.",
        )
    if difference := _not_in_force(proxy):
        return not_yet(
            "m2-refused/still-rejected",
            f"The routes file is not what Envoy goes by: {difference}. It serves from memory; its next restart would "
            "find this file.",
            "ConfigMap proxy-files, against /config_dump of the running Envoy",
            "Recovered is when the file and the memory agree again. `push` says what Envoy made of the last one.",
        )
    reply = proxy.send(_paths("m2-refused", 1)[0], pod=running.pod, timeout=WAIT)
    if reply.pod and reply.headers.get("x-shop") != "open":
        return not_yet(
            "m2-refused/no-header",
            f"A file was rejected, and another is in force ({counters.get('update_success', 0)} in all were); in the "
            f"answer to GET {reply.path} the header x-shop is {reply.headers.get('x-shop') or 'missing'}.",
            "a real request's answer, its headers",
            "`response_headers_to_add` belongs to a virtual host, beside its `domains`.",
        )
    for path, version in (("/next", "2"), ("/next/x", "2"), ("/", "1"), ("/next-week", "1")):
        reply = proxy.send(path, pod=running.pod, timeout=WAIT)
        if reply.version != version:
            return not_yet(
                "m2-refused/wrong-way",
                f"GET {path} was answered by {reply.who}"
                + (f" in version {reply.version}." if reply.pod else f" ({reply.status})."),
                f"GET {path} through the proxy",
                "The new file replaces all routes, not only those that it changes.",
            )
    return passed(
        f"This Envoy has rejected {counters['update_rejected']} file(s) and taken up "
        f"{counters.get('update_success', 0)}, without a restart; answers have the header, and each request goes where "
        "it should.",
        "the counters of the running Envoy, and real requests",
    )


def _not_in_force(proxy: Proxy) -> str:
    """What stands in the routes file and not in the running Envoy, or the other way round; "" if they agree.

    Envoy's counters do not tell whether the last file was accepted or one before it.
    """
    try:
        written = [texts(each) for each in yaml.safe_load(proxy.file("routes"))["resources"]]
    except (yaml.YAMLError, KeyError, TypeError):
        return "the file has no resources"
    dump = proxy.admin("/config_dump")["configs"]
    served = [
        texts(each["route_config"])
        for section in dump
        for each in section.get("dynamic_route_configs", [])
        if "route_config" in each
    ]
    in_file, in_force = sum(written, Counter[str]()), sum(served, Counter[str]())
    if only := sorted(in_file - in_force):
        return f"{only[0][:60]!r} stands in the file (more often than in what is in force)"
    if only := sorted(in_force - in_file):
        return f"{only[0][:60]!r} is in force and does not stand in the file (so often)"
    return ""


def texts(config: Any, key: str = "") -> Counter[str]:
    """The texts in a configuration, each with how often it occurs, but for types, and for what Envoy writes in another
    way or leaves out: empty ones, names of constants, and durations.
    """
    if isinstance(config, dict):
        return sum((texts(value, name) for name, value in config.items()), Counter[str]())
    if isinstance(config, list):
        return sum((texts(value) for value in config), Counter[str]())
    known = isinstance(config, str) and config and key != "@type"
    return Counter([config] if known and not re.fullmatch(r"[A-Z_]+|[\d.]+s", config) else [])


# --- m2-latency


def latency(probe: Probe) -> Outcome:
    """m2-latency: a number is committed; then it is compared with a short measurement."""
    predicted = probe.prediction
    if predicted is None:
        return not_yet(
            "m2-latency/not-committed",
            "There is no prediction yet.",
            "your prediction",
            "`lab.predict(...)` with this exercise's id and a number of milliseconds.",
        )
    try:
        seen = comparison.compare(
            probe.api,
            probe.namespace,
            {"directly": "http://web/", "through Envoy": "http://proxy/"},
            seconds=0.5,
            rounds=2,
        )
        words = (
            f"just now the median was {seen.percentile('directly', 50):.2f} ms directly and "
            f"{seen.percentile('through Envoy', 50):.2f} ms through Envoy: {seen.added(50):+.2f} ms; "
            f"p99 {seen.added(99):+.2f} ms"
        )
    except LabsError as error:
        words = f"nothing could be measured just now ({error.what.splitlines()[0]})"
    return passed(
        f"You predicted {predicted:.3g} ms; {words}.", "your prediction, and two short rounds each way"
    )


# --- m2-find


def find(probe: Probe) -> Outcome:
    """m2-find: the address that refuses, and the Service whose port leads nowhere."""
    address = probe.value("address", str, "an address with its port, as the log writes it, in a text").strip()
    culprit = probe.value(
        "culprit", str, "an object, as a text of its kind and its name with a slash between"
    ).strip()
    gate = Proxy(probe.world, "gate")
    running = gate.running(probe.left(SETTLE))
    if not running.serving:
        return not_yet(
            "m2-find/no-gate",
            running.why,
            "Deployment gate",
            'Apply `start/incident.yaml`, or `lab.start("m2", at="m2-find")`.',
        )
    for path in _paths("m2-find", 9):
        gate.send(path, pod=running.pod)
    way = gate.way()
    endpoints = {each.address: each for each in _endpoints(way, "web")}
    services = {
        f"{each['spec'].get('clusterIP')}:{port['port']}": each
        for each in probe.list("v1", "Service")
        for port in each["spec"].get("ports") or []
    }
    if address not in endpoints:
        return not_yet(
            "m2-find/no-such-address",
            f"{address} is none of the addresses among which the gate shares the failing requests out.",
            "/clusters of the gate, the cluster of the route that customers use",
            "In the log: `upstream=` in the lines that end with 503 and are for ordinary paths.",
        )
    asked = endpoints[address]
    # On a busy machine a connection to a healthy Pod may take too long now and then.
    if not asked.failures or asked.failures < max(each.failures for each in endpoints.values()):
        refused = f"{asked.failures} connections, fewer than another" if asked.failures else "no connection"
        return not_yet(
            "m2-find/healthy",
            f"{address} got {asked.requests} requests and refused {refused}.",
            "/clusters of the gate",
            "Which upstream do the failing lines of the log have in common?",
        )
    service = services.get(address)
    truth = f"service/{service['metadata']['name']}" if service else ""
    if culprit.lower() == truth:
        return passed(
            f"{address} has refused {asked.failures} connections; it is the address of {culprit}.",
            f"{culprit}, spec.ports, against the Pods behind it",
        )
    kind, _, name = culprit.partition("/")
    if (
        service
        and kind.lower() in ("deployment", "pod", "replicaset")
        and name.startswith(service["metadata"]["name"])
    ):
        return not_yet(
            "m2-find/symptom",
            f"{culprit} is behind that address; its Pods are ready, and answer whoever asks them where they listen. "
            "They were asked elsewhere.",
            f"{culprit}, its container's ports",
            "Who decides on which port a Pod is asked?",
        )
    return not_yet(
        "m2-find/innocent",
        f"The address is right. If {culprit or 'that'} were changed, requests to it would still be refused.",
        f"{culprit or 'the name culprit'}, against the way from {address} to a Pod",
        "What has this address? And where does that lead, down to the port?",
    )


CHECKS: dict[str, Callable[[Probe], Outcome]] = {
    "m2-static": static,
    "m2-match": match,
    "m2-discovery": discovery,
    "m2-refused": refused,
    "m2-latency": latency,
    "m2-find": find,
}
OFFLINE: dict[str, Callable[[Probe], Outcome]] = {"m2-discovery": discovery_offline}
