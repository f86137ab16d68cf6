"""m2-static: whether web answers what is sent through the proxy, and if not, who does and why."""

from __future__ import annotations

import yaml

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.proxy import Proxy, Reply, Running
from labsupport.draw.proxymap import Way

from .serving import WAIT, serving, unseen_paths


def static(probe: Probe) -> Outcome:
    """m2-static: requests for any path are answered by the Pods of web."""
    proxy, running = serving(probe, "m2-static")
    pods = _names_of(probe, "web")
    answered: dict[str, int] = {}
    paths = ["/", *unseen_paths("m2-static", 7)]
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
