"""The checks of lab M1. They read kube-proxy's rules and the objects behind them, rehearse the learner's functions on
scripts that the notebook does not show, and buy tea.
"""

from __future__ import annotations

import ssl
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import cache
from random import Random
from statistics import fmean, pstdev
from typing import Any

from labsupport import kube
from labsupport.course.certificates import Authority, Issued
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons import rules, traffic
from labsupport.errors import LabsError
from labsupport.shop.client import Call
from labsupport.shop.handshake import greet
from labsupport.shop.rehearsal import Endless, Transcript, rehearse

Object = dict[str, Any]
SERVICES = ("web", "orders", "payments", "inventory", "returns", "load")

# --- m1-rules


def rules_(probe: Probe) -> Outcome:
    """m1-rules: the Service whose rules lead astray, and the address that is nobody's."""
    service = probe.value("service", str, "the name of a Service, as a text").strip()
    address = probe.value("address", str, "an address such as 10.0.0.1, as a text").strip().split(":")[0]
    found = probe.get("v1", "Service", service)
    if found is None:
        return not_yet(
            "m1-rules/no-such-service",
            f"There is no Service {service!r} in your namespace.",
            "the name service in the notebook",
            f"`labs kubectl -n {probe.namespace} get services` lists them.",
        )
    ways = rules.ways_of(found, rules.read(probe.api, probe.namespace))
    pods = _addresses_of_pods(probe)
    led_to = [target.address for way in ways for target in way.targets]
    listed = {
        each
        for each_slice in probe.list(
            "discovery.k8s.io/v1", "EndpointSlice", labels=f"kubernetes.io/service-name={service}"
        )
        for endpoint in each_slice.get("endpoints") or []
        for each in endpoint["addresses"]
    }
    strays = {each for each in [*led_to, *listed] if each not in pods}
    if not strays and _was_in_the_incident(probe, service, address):
        return passed(
            f"{address} was what {service}'s rules led to and no Pod had; it is mended since.",
            "EndpointSlices of the Service, then and now",
        )
    if not strays:
        return _innocent(probe, service, ways, led_to, pods)
    if address not in strays:
        what = (
            f"{address} is the address of the Pod {pods[address]}, which answers"
            if address in pods
            else f"{address} is none of the addresses that {service}'s rules lead to"
        )
        return not_yet(
            "m1-rules/other-address",
            f"{service} is worth the suspicion, but {what}.",
            f"chain of {service} in the table kube-proxy, against the addresses of the Pods",
            f"`lab.rules({service!r})` and `labs kubectl -n {probe.namespace} get pods -o wide`, side by side.",
        )
    share = led_to.count(address) / len(led_to) if led_to else 0
    return passed(
        f"{service}'s rules send {share:.0%} of new connections to {address}, and no Pod has that address.",
        f"chain of {service} in the table kube-proxy",
    )


def _innocent(
    probe: Probe, service: str, ways: Sequence[rules.Way], led_to: list[str], pods: dict[str, str]
) -> Outcome:
    if service in ("web", "orders"):
        return not_yet(
            "m1-rules/symptom",
            f"All {len(led_to)} addresses behind {service} are Pods that answer. It is there that the failure is seen: "
            f"{service} calls others in its turn, and says what it was told.",
            f"chain of {service} in the table kube-proxy",
            f"Whom does {service} call? Its error names the next one.",
        )
    if not led_to:
        return not_yet(
            "m1-rules/nobody-behind",
            f"{service} has no endpoints, and its rule turns every caller away at once. That is odd, but no purchase "
            "asks it.",
            f"map no-endpoint-services, entry of {service}",
            "Failing purchases take their time to fail; a rejected connection fails in a millisecond. Who is slow?",
        )
    remembered = (
        " It remembers its callers (ClientIP), which pins, but loses nothing."
        if any(way.sticky for way in ways)
        else ""
    )
    return not_yet(
        "m1-rules/innocent",
        f"All {len(led_to)} addresses behind {service} are Pods of yours, and ready.{remembered}",
        f"chain of {service} in the table kube-proxy",
        "Look for an address that is in the rules and in no line of `get pods -o wide`.",
    )


def _addresses_of_pods(probe: Probe) -> dict[str, str]:
    return {
        str(each["status"]["podIP"]): each["metadata"]["name"]
        for each in probe.list("v1", "Pod")
        if (each.get("status") or {}).get("podIP") and not each["spec"].get("hostNetwork")
    }


def _was_in_the_incident(probe: Probe, service: str, address: str) -> bool:
    """Whether the lab's own incident has it: a pass stays one after the learner has mended the fault."""
    return any(
        each["kind"] == "EndpointSlice"
        and each["metadata"]["labels"]["kubernetes.io/service-name"] == service
        and any(address in endpoint["addresses"] for endpoint in each["endpoints"])
        for each in kube.load(probe.world.lab.directory / "start/incident.yaml")
    )


# --- m1-pinned

PINNED = 300


def pinned(probe: Probe) -> Outcome:
    """m1-pinned: what one kept connection does to three Pods; needs a committed prediction."""
    if probe.prediction is None:
        return not_yet(
            "m1-pinned/not-committed",
            "There is no prediction yet.",
            "your predictions",
            'Commit a number with `lab.predict("m1-pinned", ...)`; a wrong one costs nothing and teaches more.',
        )
    seen = _load(probe, "http://inventory/stock/tea", requests=PINNED)
    busiest = max(seen.by_pod.values(), default=0)
    counts = ", ".join(f"{pod} {count}" for pod, count in seen.by_pod.items())
    return passed(
        f"You said {probe.prediction}; {busiest} of {PINNED} requests over one connection were answered by one Pod "
        f"({counts}).",
        f"{PINNED} GET http://inventory/stock/tea, 1 connection opened",
    )


# --- m1-outside


def outside(probe: Probe) -> Outcome:
    """m1-outside: one door in the node's wall, and it leads to web."""
    web = probe.get("v1", "Service", "web")
    door = next(
        (port["nodePort"] for port in (web or {}).get("spec", {}).get("ports", []) if port.get("nodePort")),
        None,
    )
    if web is None or door is None:
        return _no_door(probe)
    others = sorted(
        each["metadata"]["name"]
        for each in probe.list("v1", "Service")
        if each["metadata"]["name"] != "web"
        and any(port.get("nodePort") for port in each["spec"].get("ports") or [])
    )
    if others:
        return not_yet(
            "m1-outside/other-doors",
            f"web has a door, and so {'has' if len(others) == 1 else 'have'} {' and '.join(others)}: whoever reaches "
            "the node reaches them too.",
            "Services with a nodePort; map service-nodeports in the table kube-proxy",
            "Which type gives a Service an address inside the cluster only?",
        )
    _await_rules(probe, _followed(probe))
    node = kube.list_objects(probe.api, "v1", "Node")[0]
    address = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
    seen = _until_ok(probe, f"http://{address}:{door}/buy/tea")
    decided = f"GET http://{address}:{door}/buy/tea, the node's own address"
    if not seen.ok:
        return not_yet(
            "m1-outside/closed-door",
            f"The node's port {door} belongs to web, but a purchase there got "
            f"{', '.join([*seen.result['by_status'], *seen.result['errors']]) or 'no answer'}.",
            decided,
            "Three ports: the node's, the Service's, the container's. Which of them does nobody listen on?",
        )
    # The second over a connection of its own: orders may keep one to inventory that no rule is asked about any more.
    for url in ("http://web/buy/tea", "http://inventory/stock/tea"):
        inside = _until_ok(probe, url)
        if not inside.ok:
            return not_yet(
                "m1-outside/broken-inside",
                "From outside it works, from inside it does not: "
                f"{', '.join([*inside.result['by_status'], *inside.result['errors']]) or 'no answer'}.",
                f"GET {url}",
                "Callers inside go on using names and port 80, on all Services.",
            )
    return passed(
        f"A purchase at the node's port {door} was answered by {next(iter(seen.by_pod))}; no other Service has a door.",
        decided,
    )


def _followed(probe: Probe) -> list[tuple[Object, list[Object]]]:
    """The two Services with the Pods that each selects.

    Errors: Rejected unless both follow their Pods. Without a selector the old EndpointSlices stay for a while, and a
    door that leads to them looks good until the next Pod comes.
    """
    pods = probe.list("v1", "Pod")
    followed = []
    for name in ("web", "inventory"):
        service = probe.get("v1", "Service", name) or {}
        selector = (service.get("spec") or {}).get("selector") or {}
        selected = [
            pod
            for pod in pods
            if selector and selector.items() <= (pod["metadata"].get("labels") or {}).items()
        ]
        if selected:
            followed.append((service, selected))
            continue
        if not service:
            what = f"There is no Service {name} any more, and callers inside need it."
        elif selector:
            what = f"No Pod has the labels that the Service {name} selects."
        else:
            what = f"The Service {name} selects no Pods. Wherever it still leads, new Pods will not be among them."
        raise Rejected(
            not_yet(
                "m1-outside/loses-its-pods",
                what,
                f"Service {name}, spec.selector, against the labels of the Pods",
                f"`labs kubectl -n {probe.namespace} get pods --show-labels`; what did the Service say of them before?",
            )
        )
    return followed


def _await_rules(probe: Probe, followed: Sequence[tuple[Object, list[Object]]]) -> None:
    """Wait a few seconds for kube-proxy's rules to say what the Services do: rules of before would answer too.

    Packet rules cannot be watched, so they are read again. Where they never agree, or cannot be read, requests decide.
    """
    deadline = time.monotonic() + probe.left(rules.SETTLE)
    while time.monotonic() < deadline:
        try:
            ways = rules.read(probe.api, probe.namespace)
        except kube.Unreachable:
            raise
        except LabsError:
            return
        if all(_as_declared(service, pods, rules.ways_of(service, ways)) for service, pods in followed):
            return
        probe.progress("kube-proxy has not followed yet")
        time.sleep(0.1)


def _as_declared(service: Object, pods: Sequence[Object], ways: Sequence[rules.Way]) -> bool:
    """Whether the ways in are the Service's ports and node ports, and lead to the ports of its ready Pods."""
    spec = service["spec"]  # of an ExternalName it has neither address nor, perhaps, ports
    entries, ends = set(), set()
    for port in spec.get("ports") or []:
        entries.add((spec.get("clusterIP", ""), port["port"]))
        if port.get("nodePort"):
            entries.add(("", port["nodePort"]))
        for pod in pods:
            if number := _port_of(pod, port.get("targetPort", port["port"])):
                ends.add((pod["status"]["podIP"], number))
    return entries == {(way.address, way.port) for way in ways} and ends == {
        (target.address, target.port) for way in ways for target in way.targets
    }


def _port_of(pod: Object, target: int | str) -> int:
    """The number of a Pod's port that a Service's targetPort means; 0 if there is none, or the Pod is not ready."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    if pod["metadata"].get("deletionTimestamp") or not any(
        each["type"] == "Ready" and each["status"] == "True" for each in conditions
    ):
        return 0
    if isinstance(target, int):
        return target
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports") or []]
    return next((port["containerPort"] for port in ports if port.get("name") == target), 0)


def _no_door(probe: Probe) -> Outcome:
    if ingresses := probe.list("networking.k8s.io/v1", "Ingress"):
        name = ingresses[0]["metadata"]["name"]
        return not_yet(
            "m1-outside/nobody-reads-it",
            f"The Ingress {name} has no address: an Ingress is a wish, and no controller in this cluster reads it.",
            f"Ingress {name}, status.loadBalancer",
            "What does every node do by itself, with kube-proxy alone?",
        )
    labels = {"app": "web"}
    elsewhere = [
        each["metadata"]["namespace"]
        for each in kube.list_objects(probe.api, "v1", "Service", fields="metadata.name=web")
        if each["metadata"]["namespace"] != probe.namespace
        and (each["spec"].get("selector") or {}) == labels
        and any(port.get("nodePort") for port in each["spec"]["ports"])
    ]
    if elsewhere:
        return not_yet(
            "m1-outside/other-namespace",
            f"There is a Service web with a node port in {elsewhere[0]}. It selects Pods of that namespace, where "
            "there are none.",
            f"Service web in {elsewhere[0]}",
            "A Service and its Pods share a namespace; `lab.apply` uses yours.",
        )
    return not_yet(
        "m1-outside/no-door",
        "Nobody outside can reach web: it has an address that only the cluster knows.",
        "Service web, spec.type and spec.ports[].nodePort",
        "`labs kubectl explain service.spec.type` lists the kinds of Service.",
    )


def _until_ok(probe: Probe, url: str) -> traffic.Load:
    """The last of a few tries: a Service that was made anew has an address that callers learn with a delay."""
    deadline = time.monotonic() + probe.left(2.0)
    while True:
        seen = _load(probe, url, requests=1, timeout=2)
        if seen.ok or time.monotonic() > deadline:
            return seen
        probe.progress(f"{url} does not answer yet")
        _load(probe, "http://load/healthz", requests=2, rate=5)  # 0.2 s of the load generator's own time


# --- m1-retry

TRIES = 4
PER_TRY = 0.5
TOTAL = 2.0
ENOUGH = 1.2  # seconds after which any wait may be too long for another try
EPSILON = 1e-6
FAST = ("502", "503", "504", "lost", "refused")
FINAL = ("400", "401", "403", "404", "409", "422", "500", "501")


@cache
def _cases() -> tuple[tuple[Call, tuple[str, ...]], ...]:
    """Requests and scripts, the same in each check."""
    dice = Random("m1-retry")
    cases: list[tuple[Call, tuple[str, ...]]] = []

    def get() -> Call:
        return Call("GET", f"/stock/{dice.choice(('tea', 'cups', 'kettles'))}")

    def post(*, keyed: bool) -> Call:
        order = f"{dice.randrange(16**8):08x}"
        return Call(
            "POST", "/charges", {"order": order, "amount": dice.randint(1, 9)}, key=order if keyed else ""
        )

    def failures(count: int) -> tuple[str, ...]:
        return tuple(dice.choice(FAST) for _ in range(count))

    for index in range(48):
        request = post(keyed=True) if index % 3 else get()
        cases.append((request, (*failures(3), "201")))
    for index in range(18):
        request = get() if index % 2 else post(keyed=True)
        cases.append((request, (*failures(index % 3), dice.choice(("200", "201", *FINAL)))))
    for status in FINAL:
        cases.append((post(keyed=True), (status, "201")))
    for word in ("lost", "silent", "502", "503", "504"):
        cases.append((post(keyed=False), (word, "201")))
        cases.append((post(keyed=False), ("refused", word, "201")))
    cases.append((post(keyed=False), ("refused", "refused", "201")))
    for word in ("silent", "refused", "503", "lost"):
        cases.append((post(keyed=True), (word,)))
    for _ in range(6):
        words = tuple(dice.choice(("silent", "503", "lost")) for _ in range(4))
        cases.append((get(), words))
    return tuple(cases)


def rehearse_all(function: Callable[..., object], cases: Iterable[tuple[Call, tuple[str, ...]]]) -> list[Any]:
    """What `function` does in each case; None where it would never have ended."""
    seen: list[Any] = []
    for request, script in cases:
        try:
            seen.append(rehearse(function, request, script))
        except Endless:
            seen.append(None)
    return seen


def retry_offline(probe: Probe) -> Outcome:
    """m1-retry, without the cluster: each rule on scripts of failures that the notebook does not show."""
    with probe.function("call", parameters=3) as call:
        seen = call.drive(
            rehearse_all, _cases(), about="a rehearsal against failures that the notebook does not show"
        )
    for (request, script), transcript in zip(_cases(), seen, strict=True):
        if transcript is None:
            return _broken("m1-retry/too-many-tries", request, script, "it went on trying without an end")
    # A function that returns nothing breaks other rules besides; what it lacks first is said first.
    for judge in (_judge_result, _judge_conduct):
        for transcript in seen:
            if outcome := judge(transcript):
                return outcome
    return _judge_waits([each for each in seen if len(each.tries) == TRIES and each.script[-1] == "201"])


def _broken(rule: str, request: Call, script: Sequence[str], seen: str) -> Outcome:
    """A rehearsal that broke a rule of the exercise."""
    looks = {
        "m1-retry/no-result": "What does your function return, on the way that this request took?",
        "m1-retry/too-many-tries": "Count the tries, also those that raise, and compare before the next one.",
        "m1-retry/repeats-the-unsafe": "Nobody knows whether it was carried out. Which requests can be repeated "
        "without harm, and how do they tell?",
        "m1-retry/repeats-refusals": "Does asking again change such an answer?",
        "m1-retry/long-try": "What do you give to `send` as its timeout, at the first try and at the last?",
        "m1-retry/over-time": "How much is left before each wait and each try? A wait counts as well.",
        "m1-retry/waits-for-nothing": "When is it certain that there will be no further try?",
        "m1-retry/gives-up-early": "Which of these failures may be tried again, and how many tries are there?",
        "m1-retry/hides-the-end": "After the last try the caller needs to hear what became of that one: its answer, or "
        "its exception.",
    }
    kind = f"{request.method} {'with' if request.key else 'without'} a key"
    words = " ".join(script)
    return not_yet(
        rule,
        f"For a {kind} and the other side's answers `{words}`: {seen}.",
        "a rehearsal with a virtual clock",
        f"{looks[rule]} `print(rehearse(call, Call({request.method!r}, {request.path!r}"
        + (", key='a'" if request.key else "")
        + f"), {words!r}))` shows each try.",
    )


def _judge_result(seen: Transcript) -> Outcome | None:
    """Whether a rehearsal ended with an answer or with one of the two exceptions."""
    if seen.tries and not seen.result.startswith("returned"):
        return None
    said = f"it {seen.result} instead of an answer" if seen.tries else "it never called send"
    return _broken("m1-retry/no-result", seen.request, seen.script, said)


def _judge_conduct(seen: Transcript) -> Outcome | None:
    """The first of the other rules that a rehearsal broke."""
    request, tries, last = seen.request, seen.tries, seen.tries[-1].came

    def broken(rule: str, text: str) -> Outcome:
        return _broken(rule, request, seen.script, text)

    harmless = bool(request.key) or request.method == "GET"
    for number, each in enumerate(tries[:-1], 1):
        if each.came.isdigit() and each.came not in FAST:
            return broken("m1-retry/repeats-refusals", f"after the answer {each.came} it tried again")
        if not harmless and each.came != "refused":
            return broken(
                "m1-retry/repeats-the-unsafe",
                f"try {number} ended with `{each.came}`, and it sent the request once more",
            )
    if len(tries) > TRIES:
        return broken("m1-retry/too-many-tries", f"it tried {len(tries)} times")
    if seen.ended > TOTAL + EPSILON:
        return broken("m1-retry/over-time", f"it was over after {seen.ended:.2f} s")
    for number, each in enumerate(tries, 1):
        if each.timeout > PER_TRY + EPSILON:
            return broken("m1-retry/long-try", f"try {number} was given {each.timeout:.3g} s")
    answered = "raised NotSent" if last == "refused" else last if last.isdigit() else "raised NoAnswer"
    if seen.result != answered:
        return broken("m1-retry/hides-the-end", f"its last try ended with `{last}`, and it {seen.result}")
    could_go_on = last == "refused" or (harmless and (last in FAST or not last.isdigit()))
    if seen.ended > tries[-1].ended + EPSILON:
        return broken(
            "m1-retry/waits-for-nothing", f"it ended {seen.ended - tries[-1].ended:.2f} s after its last try"
        )
    if could_go_on and len(tries) < TRIES and seen.ended < ENOUGH:
        return broken(
            "m1-retry/gives-up-early", f"it stopped after {len(tries)} tries and {seen.ended:.2f} s"
        )
    return None


def _judge_waits(full: Sequence[Transcript]) -> Outcome:
    """Whether the waits of rehearsals with all their tries grow, and have chance in them."""
    first, third = [each.waits[0] for each in full], [each.waits[2] for each in full]
    decided = f"the waits in {len(full)} rehearsals with {TRIES} tries each"
    mean = fmean(first)
    if mean < 0.001:
        return not_yet(
            "m1-retry/no-wait",
            f"Between the first two tries {mean * 1000:.1f} ms pass on average: a service that is in trouble gets all "
            "its callers back at once.",
            decided,
            "`clock.sleep` waits, in a rehearsal as on the cluster.",
        )
    if pstdev(first) < 0.05 * mean:
        return not_yet(
            "m1-retry/no-jitter",
            f"The first wait is always about {mean * 1000:.0f} ms. Callers that failed together come back together.",
            decided,
            "What would make two callers wait differently?",
        )
    if fmean(third) < 1.5 * mean:
        return not_yet(
            "m1-retry/no-growth",
            f"On average the first wait takes {mean * 1000:.0f} ms and the third {fmean(third) * 1000:.0f} ms.",
            decided,
            "The longer it fails, the longer it may take: let the number of the try decide about the wait.",
        )
    return passed(
        f"{len(_cases())} rehearsals kept all rules; the waits grew from {mean * 1000:.0f} to "
        f"{fmean(third) * 1000:.0f} ms on average.",
        decided,
    )


PURCHASES = 6
DEPLOYED = "caller"


def retry(probe: Probe) -> Outcome:
    """m1-retry, on the cluster: purchases through the learner's orders, while payments fails as it is told to."""
    _own_orders(probe)
    payments = probe.get("apps/v1", "Deployment", "payments")
    environment = _environment(payments)
    if "PATTERN" not in environment:
        return not_yet(
            "m1-retry/payments-well",
            "The Deployment payments has no pattern of failures, so nothing is proven.",
            "Deployment payments, env PATTERN",
            'Run the cell that gives payments a bad day, or `lab.start("M1", at="m1-retry")`.',
        )
    orders, tries = [], []
    for number in range(1, PURCHASES + 1):
        probe.progress(f"purchase {number} of {PURCHASES}")
        order, bought = _buy(probe)
        if not bought:
            errors = _own_errors(probe)
            return not_yet(
                "m1-retry/purchase-failed",
                f"Purchase {number} of {PURCHASES} failed: {order.get('error') or order}.{errors}",
                "GET http://web/buy/tea",
                '`lab.load("http://web/buy/tea", requests=8)` shows how often; does your function on the cluster agree '
                "with the one in the notebook? Deploy it again after each change.",
            )
        orders.append(order["order"])
        tries.append(int(order["tries"]))
    ledger = _ask(probe, "payments:80", "/ledger")
    if twice := set(ledger["twice"]) & set(orders):
        return not_yet(
            "m1-retry/charged-twice",
            f"{len(twice)} of {PURCHASES} purchases were charged more than once.",
            "GET http://payments/ledger",
            "Is the request that you send again the same one, with its key?",
        )
    return passed(
        f"{PURCHASES} of {PURCHASES} purchases succeeded and none was charged twice; payments was called {sum(tries)} "
        f"times for them, at most {max(tries)} times for one.",
        "GET http://web/buy/tea, and payments' ledger",
    )


# --- m1-tls


@cache
def _encounters() -> tuple[str, tuple[tuple[str, Issued], ...]]:
    """An authority's certificate, and whom its client meets under the name payments."""
    ours, stranger = Authority("the shop"), Authority("the shop")
    alone = Authority("payments")
    return ours.certificate, (
        ("right", ours.issue("payments", "payments.shop.svc")),
        ("name", ours.issue("inventory")),
        ("name", ours.issue("payments.example")),
        ("authority", stranger.issue("payments")),
        ("authority", ours.issue("payments", signer=stranger)),
        ("authority", alone.issue("payments")),
        ("time", ours.issue("payments", since=timedelta(days=-2), until=timedelta(days=-1))),
        ("right", ours.issue("orders", "payments")),
    )


def meet(function: Callable[..., object], authority: str, servers: Sequence[tuple[str, Issued]]) -> list[str]:
    """How a client with the learner's context greets each server: "" or why it refused; one word if it is no
    context.
    """
    client = function(authority)
    if not isinstance(client, ssl.SSLContext):
        return [f"type {type(client).__name__}"]
    seen = []
    for _, issued in servers:
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(issued.certificate + issued.key)
            file.flush()
            server.load_cert_chain(file.name)
        try:
            seen.append(greet(client, server, "payments"))
        except (ssl.SSLError, ValueError) as error:
            seen.append(f"refused: {error}")
    return seen


def tls_offline(probe: Probe) -> Outcome:
    """m1-tls, without the cluster: real handshakes with the right server and with impostors."""
    authority, servers = _encounters()
    with probe.function("trust", parameters=1) as trust:
        seen = trust.drive(meet, authority, servers, about="the certificate of an authority, as PEM text")
    decided = f"{len(servers)} handshakes with servers that the notebook does not show"
    if len(seen) == 1:
        return not_yet(
            "m1-tls/no-context",
            f"`trust` returned something of the {seen[0]}.",
            "what trust returns",
            "The client needs an `ssl.SSLContext`.",
        )
    for (kind, _), answer in zip(servers, seen, strict=True):
        if kind == "right" and answer:
            return not_yet(
                "m1-tls/refuses-the-right-one",
                f"The real payments, with a certificate of the authority that `trust` was given, was {answer}.",
                decided,
                "Whose certificates does your context believe? It is to be the authority in the parameter alone.",
            )
    accepted = [
        kind for (kind, _), answer in zip(servers, seen, strict=True) if kind != "right" and not answer
    ]
    if "authority" in accepted:
        return not_yet(
            "m1-tls/any-authority",
            "A server whose certificate was signed by a stranger was believed. Encrypted, and with whom?",
            decided,
            "Is the certificate verified at all? `context.verify_mode` says.",
        )
    if "name" in accepted:
        return not_yet(
            "m1-tls/any-name",
            "A server with a good certificate for another name was taken for payments. Each service of the shop has "
            "such a certificate.",
            decided,
            "Who compares the name that was called with the names in the certificate? `context.check_hostname` says.",
        )
    if "time" in accepted:
        return not_yet(
            "m1-tls/expired",
            "A certificate that ended yesterday was believed.",
            decided,
            "Which flag of the context leaves the time out?",
        )
    refused = sum(bool(answer) for answer in seen)
    return passed(f"The right servers were believed, {refused} impostors refused.", decided)


def tls(probe: Probe) -> Outcome:
    """m1-tls, on the cluster: payments speaks TLS and nothing else, and the learner's orders gets through to it."""
    service = probe.get("v1", "Service", "payments")
    ports = {port["port"] for port in (service or {}).get("spec", {}).get("ports", [])}
    if ports != {443} or "TLS_CERTIFICATE" not in _environment(
        probe.get("apps/v1", "Deployment", "payments")
    ):
        return not_yet(
            "m1-tls/payments-in-the-clear",
            "payments still speaks without TLS.",
            "Service payments, spec.ports; Deployment payments, env",
            "Run the cells that give payments its certificate.",
        )
    _own_orders(probe)
    if not _environment(_own_deployment(probe)).get("PAYMENTS", "").startswith("https://"):
        return not_yet(
            "m1-tls/orders-in-the-clear",
            "Your orders calls payments without TLS.",
            f"Deployment {DEPLOYED}, env PAYMENTS",
            "Run the cell that deploys `trust`.",
        )
    order, bought = _buy(probe)
    if not bought:
        return not_yet(
            "m1-tls/purchase-failed",
            f"A purchase failed: {order.get('error') or order}.{_own_errors(probe)}",
            "GET http://web/buy/tea",
            "Is the authority that signed payments' certificate the one that `trust` was given when you deployed it? "
            "Run the cells of the exercise again, in their order.",
        )
    clear = _load(probe, "http://payments:443/ledger", requests=1, timeout=1)
    if clear.ok:
        return not_yet(
            "m1-tls/payments-in-the-clear",
            "payments answered a request without TLS.",
            "GET http://payments:443/ledger",
            "Run the cells that give payments its certificate.",
        )
    return passed(
        f"A purchase went through {order['charge']['pod']} over TLS, and a request in the clear got no answer.",
        "GET http://web/buy/tea; GET http://payments:443/ledger",
    )


# --- shared


def _load(probe: Probe, url: str, **plan: Any) -> traffic.Load:
    try:
        return traffic.run(probe.api, probe.namespace, url, **plan)
    except kube.Unreachable:
        raise
    except LabsError as error:
        raise Rejected(
            not_yet(
                "m1/no-load-generator",
                error.what,
                f"Service load in {probe.namespace}",
                'The load generator is part of the lab\'s start: `lab.start("M1")`.',
            )
        ) from error


def _ask(probe: Probe, service: str, path: str) -> Object:
    """The JSON that a Service of the lab answers. Errors: Rejected where it does not."""
    url = f"/api/v1/namespaces/{probe.namespace}/services/{service}/proxy{path}"
    try:
        return dict(kube.request(probe.api, "GET", url, timeout=probe.left(10.0)))
    except (kube.Refused, ValueError, TypeError) as error:
        raise Rejected(
            not_yet(
                "m1/no-answer",
                f"{service} did not answer GET {path}: {error}",
                f"Service {service.partition(':')[0]}",
                f"`labs kubectl -n {probe.namespace} get pods`: are all of the shop's Pods ready?",
            )
        ) from error


def _buy(probe: Probe) -> tuple[Object, bool]:
    """One purchase through web: what orders said, and whether it succeeded."""
    path = f"/api/v1/namespaces/{probe.namespace}/services/web:80/proxy/buy/tea"
    try:
        answer = kube.request(probe.api, "GET", path, timeout=probe.left(10.0))
        return dict(answer["order"]), True
    except kube.Refused as error:
        return {"error": error.what}, False
    except (ValueError, TypeError, KeyError) as error:
        return {"error": f"an answer that is none: {error}"}, False


def _own_orders(probe: Probe) -> None:
    """Errors: Rejected unless purchases are taken by the learner's orders, and by it alone."""
    if probe.deployed(DEPLOYED) is None:
        raise Rejected(
            not_yet(
                "not-deployed",
                "Your function is right, and it is not on the cluster yet.",
                f"Deployment {DEPLOYED} in {probe.namespace}",
                "Run the cell with `lab.deploy`.",
            )
        )
    ours = probe.get("apps/v1", "Deployment", "orders")
    if ours is not None and ours["spec"].get("replicas", 1):
        raise Rejected(
            not_yet(
                "m1/two-orders",
                "The shop's own orders is still running beside yours, and takes part of the purchases.",
                "Deployment orders, spec.replicas",
                "Run the cell with `lab.deploy`: it lets the other step aside first.",
            )
        )


def _own_deployment(probe: Probe) -> Object | None:
    return probe.get("apps/v1", "Deployment", DEPLOYED)


def _own_errors(probe: Probe) -> str:
    deployed = probe.deployed(DEPLOYED)
    errors = deployed.errors() if deployed else []
    return f" Your function raised: {errors[-1]}." if errors else ""


def _environment(deployment: Object | None) -> dict[str, str]:
    if deployment is None:
        return {}
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return {each["name"]: each.get("value", "") for each in container.get("env") or []}


CHECKS: dict[str, Callable[[Probe], Outcome]] = {
    "m1-rules": rules_,
    "m1-pinned": pinned,
    "m1-outside": outside,
    "m1-retry": retry,
    "m1-tls": tls,
}
OFFLINE: dict[str, Callable[[Probe], Outcome]] = {"m1-retry": retry_offline, "m1-tls": tls_offline}
