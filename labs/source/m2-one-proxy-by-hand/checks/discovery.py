"""m2-discovery: the learner's function on EndpointSlices that the notebook does not show, and the endpoints that the
running Envoy has from its file.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from labsupport.course.exercise import Outcome, Probe, not_yet, passed

from .serving import serving, unseen_paths

Json = dict[str, Any]
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
    proxy, running = serving(probe, "m2-discovery")
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
    for path in unseen_paths("m2-discovery", 2 * len(wanted)):
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
