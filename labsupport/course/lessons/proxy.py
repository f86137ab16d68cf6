"""A proxy of the mesh labs: an Envoy in the lab's namespace that is configured, asked and looked into from a notebook.

The Deployment `NAME` runs Envoy on the ConfigMap `NAME` (key envoy.yaml, mounted at /config) and, in later exercises,
on the files of the ConfigMap `NAME-files` (mounted at /files). Its listener is on port 10000, its admin interface on
9901. The API server's proxy leads to both.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.course.lessons.proxyfiles import as_file, complaint, is_blank, outcome
from labsupport.course.views import Note, Table
from labsupport.errors import LabsError

if TYPE_CHECKING:
    from labsupport.course.worlds.world import World
    from labsupport.draw.proxymap import Way
    from labsupport.draw.theme import Picture

LISTENER, ADMIN = 10000, 9901
CONFIG = "labs.example/config"  # on the Pod template: a digest of the static configuration
TOUCHED = "labs.example/files"  # on the Pod: changed to make the kubelet look at the Pod's volumes
START = 20.0  # seconds for a new Pod to run or to fail
ARRIVAL = 20.0  # seconds for a changed file to reach Envoy
AGAIN = 2.0  # seconds after which the kubelet is asked once more
POLL = 0.05  # seconds; Envoy's counters cannot be watched
BLINK = 1.5  # seconds for a Pod that is long past its start and not ready: it may have missed one probe
Json = dict[str, Any]


@dataclass(frozen=True)
class Running:
    """The proxy's newest Pod: does it serve, and if not, why."""

    pod: str
    serving: bool
    why: str = ""


@dataclass(frozen=True)
class Reply:
    """One answer to one request through the proxy. `pod` and `version` are those of the application, "" if another
    gave the answer; `reached` is False where nobody listened; `status` is 0 where somebody did and never answered.
    """

    path: str
    status: int
    pod: str
    version: str
    text: str
    headers: Mapping[str, str]
    reached: bool = True

    @property
    def who(self) -> str:
        """Who answered."""
        if self.pod:
            return self.pod
        return "the proxy itself" if self.reached and self.status else "nobody"


class Proxy:
    """The proxy `name` in a lab's namespace."""

    def __init__(self, world: World, name: str = "proxy") -> None:
        self.world, self.name = world, name

    # --- configuring

    def configure(self, bootstrap: str) -> Note:
        """Give the proxy another static configuration (YAML) and start it anew, since Envoy reads that file once."""
        if not isinstance(bootstrap, str) or not bootstrap.strip():
            return Note(
                "Nothing was changed: `configure` takes Envoy's static configuration, YAML in a text."
            )
        kube.apply(
            self.world.api,
            [
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": self.name},
                    "data": {"envoy.yaml": bootstrap},
                }
            ],
            namespace=self.world.namespace,
        )
        began = time.monotonic()
        self._roll(hashlib.sha256(bootstrap.encode()).hexdigest()[:12])
        return self._told(began)

    def restart(self) -> Note:
        """Start the proxy anew with the files as they are: its Pod is deleted, and the Deployment makes another."""
        began = time.monotonic()
        if pod := self.running().pod:
            kube.request(self.world.api, "DELETE", f"/api/v1/namespaces/{self.world.namespace}/pods/{pod}")
        return self._told(began)

    def _roll(self, digest: str) -> None:
        template = {"metadata": {"annotations": {CONFIG: digest}}}
        self._patch("apis/apps/v1", "deployments", self.name, {"spec": {"template": template}})

    def _told(self, began: float) -> Note:
        running = self.running()
        seconds = time.monotonic() - began
        if running.serving:
            return Note(
                f"Envoy serves with this configuration after {seconds:.1f} s, in the Pod {running.pod}."
            )
        return Note(running.why, f"Envoy does not serve ({seconds:.1f} s)")

    def push(self, routes: Any = None, endpoints: Any = None) -> Note:
        """Write `routes.yaml` or `endpoints.yaml` into the proxy's files and wait for what Envoy makes of it.

        A text is written as it is; a dictionary is taken for one resource and written as JSON (which is YAML).
        """
        given = {"routes": routes, "endpoints": endpoints}
        texts = {name: as_file(name, value) for name, value in given.items() if not is_blank(value)}
        if not texts:
            return Note("Nothing was pushed: there is no file yet.")
        data = {f"{name}.yaml": text for name, text in texts.items()}
        place = f"{self.name}-files"
        stored = kube.get(self.world.api, "v1", "ConfigMap", place, self.world.namespace)
        if stored and data.items() <= (stored.get("data") or {}).items():
            return Note("Nothing was pushed: the files hold just that already.")
        running = self.running()
        before = self.updates() if running.serving else {}
        began = time.monotonic()
        self._patch("api/v1", "configmaps", place, {"data": data})
        if not before:
            return Note(f"Written, but Envoy does not serve: {running.why}")
        after = self._await_update(running.pod, before, began)
        seconds = time.monotonic() - began
        what = outcome(before, after)
        if what == "accepted":
            return Note(
                f"Envoy has taken up {' and '.join(data)}, {seconds:.1f} s after the change of the ConfigMap."
            )
        if what == "unseen":
            return Note(f"Envoy has not looked at {' and '.join(data)} for {seconds:.0f} s.")
        return Note(
            f"Envoy goes on with what it had. Its words:\n{complaint(self.log_text())}",
            f"{' and '.join(data)}: {what}, after {seconds:.1f} s",
        )

    def _await_update(self, pod: str, before: Mapping[str, int], began: float) -> dict[str, int]:
        """Envoy's counters once they have moved.

        A changed ConfigMap reaches a running Pod when the kubelet next looks at the Pod: every minute by default. Any
        change of the Pod itself makes it look at once, and an annotation is one that means nothing.
        """
        asked = 0.0
        while time.monotonic() - began < ARRIVAL:
            if time.monotonic() - asked > AGAIN:
                asked = time.monotonic()
                self._patch("api/v1", "pods", pod, {"metadata": {"annotations": {TOUCHED: f"{asked:.3f}"}}})
            after = self.updates()
            if outcome(before, after) != "unseen":
                return after
            time.sleep(POLL)
        return dict(before)

    # --- asking

    def ask(self, *paths: str, headers: Mapping[str, str] | None = None, times: int = 1) -> Table:
        """Send requests through the proxy and show who answered. `times`: each path so often."""
        running = self.running()
        if not running.serving:
            return Table(f"The proxy {self.name} does not serve", ("Why",), [(running.why,)])
        rows: list[tuple[str, ...]] = []
        for path in paths or ("/",):
            for _ in range(times):
                rows.append(_row(self.send(path, headers, pod=running.pod)))
        extra = ", ".join(f"{name}: {value}" for name, value in (headers or {}).items())
        title = f"Requests through {self.name}" + (f", with {extra}" if extra else "")
        return Table(title, ("Request", "Status", "Answered by", "It said"), rows)

    def send(
        self, path: str, headers: Mapping[str, str] | None = None, pod: str = "", timeout: float = 5.0
    ) -> Reply:
        """Send one request through the proxy's listener. `timeout` is in seconds; see Reply for one that is held."""
        try:
            answer = self._exchange(pod or self.running().pod, LISTENER, path, headers, timeout)
        except kube.Unreachable:
            # One that Envoy holds looks the same from here; a cluster that is gone cannot answer this either.
            kube.get(self.world.api, "v1", "Namespace", self.world.namespace)
            return Reply(path, 0, "", "", f"no answer within {timeout:g} s", {})
        names = {name.lower(): value for name, value in answer.headers.items()}
        content = answer.body if isinstance(answer.body, dict) else {}
        reached = content.get("kind") != "Status"  # the API server's own words, when nobody listens
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        pod_name = str(content.get("pod", "")) if reached else ""
        return Reply(path, answer.status, pod_name, str(content.get("version", "")), text, names, reached)

    def running(self, timeout: float = START) -> Running:
        """The newest Pod once it serves or has failed, or as it is at the age of `timeout` seconds or soon."""
        target = kube.Target("v1", "Pod", namespace=self.world.namespace, labels=f"app={self.name}")
        deployment = kube.get(self.world.api, "apps/v1", "Deployment", self.name, self.world.namespace)
        if deployment is None:
            return Running("", False, f"There is no Deployment {self.name}.")
        wanted = _template_digest(deployment)

        def settled(pods: list[kube.objects.Object]) -> kube.Seen:
            pod = newest(pods, wanted)
            if pod is None:
                return kube.Seen(False, "its new Pod is not there yet")
            return kube.Seen(kube.is_ready(pod) or bool(_ended(pod)), "it is starting")

        pods = kube.list_objects(self.world.api, "v1", "Pod", self.world.namespace, labels=f"app={self.name}")
        if there := newest(pods, wanted):
            timeout = max(BLINK, timeout - _age(there))
        try:
            pods = kube.until(self.world.api, target, settled, timeout=timeout)
        except kube.wait.TimedOut as late:
            pods = late.objects
        pod = newest(pods, wanted)
        if pod is None:
            return Running("", False, f"The Deployment {self.name} has no Pod.")
        name = pod["metadata"]["name"]
        if kube.is_ready(pod):
            return Running(name, True)
        if _ended(pod):
            return Running(name, False, f"Envoy has ended. Its words:\n{complaint(self.log_text(name))}")
        words = complaint(self.log_text(name))
        waiting = f"Its last words:\n{words}" if words else "Its log says nothing."
        asked = f"the kubelet asks its admin interface for /ready, on port {ADMIN}"
        return Running(name, False, f"Envoy runs and is not ready ({asked}). {waiting}")

    # --- looking into it

    def admin(self, path: str, **query: str) -> Any:
        """GET `path` of the admin interface. Errors: LabsError when the proxy does not serve."""
        pod = self.running().pod
        answer = self._exchange(pod, ADMIN, path, query=query)
        if answer.status >= 400:
            raise LabsError(f"The admin interface of {pod} answers {answer.status} to {path}.")
        return (
            json.loads(answer.body)
            if isinstance(answer.body, str) and answer.body[:1] in "{["
            else answer.body
        )

    def way(self) -> Way:
        """Listener, routes, clusters and endpoints as Envoy has them now."""
        from labsupport.course.lessons import configdump

        return configdump.read(self.admin("/config_dump"), self.admin("/clusters", format="json"))

    def map(self) -> Picture | Note:
        """A picture of the way of requests, from this Envoy's own /config_dump and /clusters."""
        from labsupport.draw.proxymap import proxymap

        running = self.running()
        if not running.serving:
            return Note(running.why, f"There is nothing to draw: the proxy {self.name} does not serve")
        return proxymap(self.way(), title=f"The way of a request through {self.name}")

    def counters(self, pattern: str) -> dict[str, int]:
        """Envoy's counters and gauges whose whole name matches the regular expression."""
        answer = self.admin("/stats", filter=f"^{pattern}$", format="json")
        return {each["name"]: int(each["value"]) for each in answer["stats"] if _is_number(each.get("value"))}

    def stats(self, pattern: str) -> Table:
        """The same as a table; those that are zero are left out."""
        found = {name: value for name, value in self.counters(f".*({pattern}).*").items() if value}
        return Table(
            f"Counters of {self.name} that are not zero",
            ("Counter", "Value"),
            [(n, str(v)) for n, v in sorted(found.items())],
        )

    def updates(self) -> dict[str, int]:
        """Counters of what came by file: of route configurations and of clusters that get their endpoints so."""
        counters = self.counters(
            r"(http\..*\.rds\..*|cluster\..*)\.update_(attempt|success|rejected|failure)"
        )
        dns = {each.name for each in self.way().clusters if "DNS" in each.source}
        return {name: value for name, value in counters.items() if name.split(".")[1] not in dns}

    def log(self, lines: int = 10) -> Note:
        """The last lines that the proxy wrote: its access log, and what it has to complain of."""
        last = [line for line in self.log_text().splitlines() if line.strip()][-lines:]
        return Note("", f"The log of {self.name}", "\n".join(last))

    def log_text(self, pod: str = "") -> str:
        """All that the newest Pod's container wrote; of the one before it, if it has been started again since."""
        name = pod or self.running().pod
        path = f"/api/v1/namespaces/{self.world.namespace}/pods/{name}/log"
        for query in ({"tailLines": "400"}, {"tailLines": "400", "previous": "true"}):
            try:
                text = str(kube.request(self.world.api, "GET", path, query=query))
            except kube.Refused:
                continue
            if text.strip():
                return text
        return ""

    def file(self, name: str) -> str:
        """What the file `routes` or `endpoints` holds now; "" where there is none."""
        stored = kube.get(self.world.api, "v1", "ConfigMap", f"{self.name}-files", self.world.namespace)
        return str(((stored or {}).get("data") or {}).get(f"{name}.yaml", ""))

    def slices(self, service: str) -> list[Json]:
        """The EndpointSlices of a Service of the lab, without what only the API server needs of their metadata."""
        found = kube.list_objects(
            self.world.api,
            "discovery.k8s.io/v1",
            "EndpointSlice",
            self.world.namespace,
            labels=f"kubernetes.io/service-name={service}",
        )
        return [{**each, "metadata": {"name": each["metadata"]["name"]}} for each in found]

    # --- the API server between

    def _exchange(
        self,
        pod: str,
        port: int,
        path: str,
        headers: Mapping[str, str] | None = None,
        timeout: float = 5.0,
        query: Mapping[str, str] | None = None,
    ) -> kube.Answer:
        place = f"/api/v1/namespaces/{self.world.namespace}/pods/{pod}:{port}/proxy/{path.lstrip('/')}"
        return kube.exchange(self.world.api, "GET", place, headers=headers, timeout=timeout, query=query)

    def _patch(self, group: str, kind: str, name: str, body: Json) -> None:
        kube.patch(self.world.api, f"/{group}/namespaces/{self.world.namespace}/{kind}/{name}", body)


def _is_number(value: object) -> bool:
    """Whether a counter's or gauge's value; some statistics are texts."""
    return isinstance(value, int) or (isinstance(value, str) and value.isdigit())


def _row(reply: Reply) -> tuple[str, ...]:
    if not reply.reached:  # the status and the words are the API server's: "...: connect: connection refused"
        message = str(json.loads(reply.text).get("message", "nobody listens"))
        return reply.path, "-", reply.who, message.rpartition(": ")[2]
    said = f"version {reply.version}" if reply.pod else reply.text.strip() or "nothing"
    return reply.path, str(reply.status or "-"), reply.who, said


def newest(pods: list[kube.objects.Object], digest: str = "") -> kube.objects.Object | None:
    """The youngest Pod that is not being deleted, of the configuration `digest` if one is given."""
    alive = [
        pod
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp")
        and (not digest or (pod["metadata"].get("annotations") or {}).get(CONFIG) == digest)
    ]
    return max(alive, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)


def _template_digest(deployment: kube.objects.Object) -> str:
    annotations = deployment["spec"]["template"]["metadata"].get("annotations") or {}
    return str(annotations.get(CONFIG, ""))


def _age(pod: kube.objects.Object) -> float:
    """Seconds since a Pod was made, by the clock here; on the course's clusters it is the API server's too."""
    made = datetime.fromisoformat(str(pod["metadata"]["creationTimestamp"]))
    return max(0.0, time.time() - made.timestamp())


def _ended(pod: kube.objects.Object) -> list[str]:
    """Containers that have ended, or wait to be started again."""
    return [
        each["name"]
        for each in (pod.get("status") or {}).get("containerStatuses") or []
        if "terminated" in (each.get("state") or {}) or "terminated" in (each.get("lastState") or {})
    ]
