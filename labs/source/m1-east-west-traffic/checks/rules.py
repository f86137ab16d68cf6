"""m1-rules: the named Service and address, held against kube-proxy's rules and the addresses of the Pods."""

from __future__ import annotations

from collections.abc import Sequence

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons import rules


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
