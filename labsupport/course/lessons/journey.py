"""Requests followed through the API server: where each of them ends, and how long the stations take.

The order of the stations is that of the API server's handler chain and of its generic registry
(https://kubernetes.io/docs/reference/access-authn-authz/controlling-access/). A request that is refused shows by its
status which of them refused it; the times are read from the server's own metrics before and after a burst of requests.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.draw.road import Station, Trip, road
from labsupport.draw.theme import Picture

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

ROUNDS = 5  # bursts of requests, for the spread
BURST = 8  # requests in a burst
NO_TOKEN = {"Authorization": "Bearer not-a-token"}
_WARNING = re.compile(r'299 \S+ ("(?:[^"\\]|\\.)*")')  # code, agent, text (RFC 7234, section 5.5)

# Name, what is done there, and the metric that tells how long it took ("" where the server does not say).
_STATIONS = (
    ("authenticate", "who are you?", 'apiserver_request_filter_duration_seconds{filter="authentication"}'),
    ("authorize", "may you do this?", 'apiserver_request_filter_duration_seconds{filter="authorization"}'),
    ("decode", "read, prune, default", ""),
    (
        "admit",
        "change it? refuse it?",
        'apiserver_admission_step_admission_duration_seconds{operation="CREATE",rejected="false",type="admit"}',
    ),
    ("validate", "schema, then CEL", ""),
    (
        "admit again",
        "refuse what became of it?",
        'apiserver_admission_step_admission_duration_seconds{operation="CREATE",rejected="false",type="validate"}',
    ),
    ("store", "convert, write to etcd", "etcd_request_duration_seconds"),
)
_NAMES = [name for name, _, _ in _STATIONS]
_BY_STATUS = {
    401: "authenticate",
    403: "authorize",
    400: "decode",
    404: "admit",
    422: "validate",
    409: "store",
}


@dataclass(frozen=True)
class Sent:
    """A request to follow: a name for it, what is created (`body`; bytes go as they are), and as whom."""

    label: str
    body: Any
    namespace: str = ""  # default: the lab's
    user: str = ""  # impersonated; the API server asks first whether that is allowed
    stranger: bool = False  # without the client certificate, with a made-up token
    query: Mapping[str, str] = field(default_factory=dict)


def station_of(status: int, reason: str = "") -> int | None:
    """The number of the station that answers with this HTTP status, None for a success. A quota refuses late."""
    if status < 300:
        return None
    if status == 403 and "quota" in reason:
        return _NAMES.index("admit again")
    return _NAMES.index(_BY_STATUS.get(status, "validate"))


def follow(
    api: ApiClient, collection: kube.objects.Resource, namespace: str, requests: Sequence[Sent]
) -> Picture:
    """Send each request once as a dry run and draw where it ended; then measure the stations with real creations.

    The requests that came through are measured: `ROUNDS` bursts of `BURST`, each object deleted again.
    """
    answers = [_send(api, collection, namespace, each, {"dryRun": "All"}) for each in requests]
    good = [each for each, answer in zip(requests, answers, strict=True) if answer.status < 300]
    times, whole = _measure(api, collection, namespace, good[0]) if good else ({}, "")
    stations = [Station(name, does, times.get(name, "")) for name, does, _ in _STATIONS]
    trips = [_trip(each, answer) for each, answer in zip(requests, answers, strict=True)]
    return road(stations, trips, title="Where each request ended", remark=whole)


def _trip(sent: Sent, answer: kube.Answer) -> Trip:
    body = answer.body if isinstance(answer.body, dict) else {}
    message = " ".join(str(body.get("message", "")).split())
    if answer.status < 300:
        message = f"It came back with spec {json.dumps(body.get('spec') or {})}"
    if warning := answer.headers.get("Warning"):
        message += " and the warning: " + "; ".join(json.loads(text) for text in _WARNING.findall(warning))
    return Trip(
        sent.label,
        station_of(answer.status, message),
        f"{answer.status} {body.get('reason') or HTTPStatus(answer.status).phrase}",
        message,
    )


def _send(
    api: ApiClient,
    collection: kube.objects.Resource,
    namespace: str,
    sent: Sent,
    query: Mapping[str, str],
) -> kube.Answer:
    headers = {"Impersonate-User": sent.user} if sent.user else {}
    caller = kube.client.without_credentials(api) if sent.stranger else api
    return kube.exchange(
        caller,
        "POST",
        collection.path(sent.namespace or namespace),
        query={**sent.query, **query},
        body=sent.body,
        headers={**headers, **(NO_TOKEN if sent.stranger else {})},
    )


def _measure(
    api: ApiClient, collection: kube.objects.Resource, namespace: str, sent: Sent
) -> tuple[dict[str, str], str]:
    """The time at each station in words, and a sentence about the whole."""
    rounds: list[dict[str, float]] = []
    seen_from_here: list[float] = []
    name = sent.body["metadata"]["name"]
    for _ in range(ROUNDS):
        before = read(_metrics(api))
        for number in range(BURST):
            body = {**sent.body, "metadata": {**sent.body["metadata"], "name": f"{name}-{number}"}}
            began = time.perf_counter()
            kube.request(api, "POST", collection.path(namespace), body=body)
            seen_from_here.append((time.perf_counter() - began) * 1e6)
        after = read(_metrics(api))
        for number in range(BURST):
            kube.request(api, "DELETE", collection.path(namespace, f"{name}-{number}"))
        rounds.append(means(before, after, collection.plural))
    times = {
        station: _range([each[station] for each in rounds if station in each])
        for station in [*_NAMES, "cel", "whole"]
    }
    sentence = (
        f"Means of {BURST} creations each, lowest to highest of {ROUNDS} rounds, from the API server's own metrics. "
        f"The whole request took it {times['whole']}"
        + (f", of which the CEL rules took {times['cel']}" if times["cel"] else "")
        + f"; from here, with the connection and Python, half of the {len(seen_from_here)} took less than "
        f"{statistics.median(seen_from_here) / 1000:.1f} ms."
    )
    return {key: value for key, value in times.items() if key in _NAMES}, sentence


def _range(values: Sequence[float]) -> str:
    """Lowest to highest, in microseconds or milliseconds."""
    if not values:
        return ""
    low, high = min(values), max(values)
    if high < 1000:
        return f"{low:.0f} to {high:.0f} µs"
    return f"{low / 1000:.1f} to {high / 1000:.1f} ms"


def _metrics(api: ApiClient) -> str:
    return str(kube.request(api, "GET", "/metrics"))


def read(text: str) -> dict[str, float]:
    """Sums and counts of histograms in the Prometheus text format, by their name with labels."""
    wanted = re.compile(
        r"^((?:apiserver_(?:request_filter|admission_step_admission|cel_evaluation|request)|etcd_request)"
        r"_duration_seconds)_(sum|count)(\{[^}]*\})? (\S+)$",
        re.MULTILINE,
    )
    return {f"{match[1]}{match[3] or ''}|{match[2]}": float(match[4]) for match in wanted.finditer(text)}


def means(before: Mapping[str, float], after: Mapping[str, float], plural: str) -> dict[str, float]:
    """Mean microseconds between two readings: for each station that the server measures, for all CEL rules of a
    request ("cel"), and for the whole ("whole").
    """

    def change(series: str) -> tuple[float, float]:
        seconds, count = (
            after.get(f"{series}|{what}", 0.0) - before.get(f"{series}|{what}", 0.0)
            for what in ("sum", "count")
        )
        return seconds, count

    def named(prefix: str, *labels: str) -> tuple[float, float]:
        chosen = {
            key.split("|")[0]
            for key in after
            if key.startswith(prefix) and all(label in key for label in labels)
        }
        changes = [change(series) for series in chosen]
        return sum(each[0] for each in changes), sum(each[1] for each in changes)

    found = {}
    for name, _, series in _STATIONS:
        labels = (f'resource="{plural}"', 'operation="create"') if name == "store" else ()
        seconds, count = named(series, *labels) if series else (0.0, 0.0)
        if count:
            found[name] = seconds / count * 1e6
    seconds, count = named(
        "apiserver_request_duration_seconds", f'resource="{plural}"', 'verb="POST"', 'dry_run=""'
    )
    if count:
        found["whole"] = seconds / count * 1e6
        rules, evaluated = change("apiserver_cel_evaluation_duration_seconds")
        if evaluated:
            found["cel"] = rules / count * 1e6
    return found
