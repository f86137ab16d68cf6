"""The rules of the running kube-proxy, read on a node and followed from one address to the Pods behind it.

kube-proxy in nftables mode (KEP-3866) keeps a table of its own. Maps lead from address and port to a chain for each
port of a Service, and that chain draws lots among the endpoints. The layout is kube-proxy's private matter and may
change with its version; `parse` follows jumps and verdicts and depends on the names of four maps only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.draw.fanout import End, Stage, fanout
from labsupport.draw.theme import Picture
from labsupport.errors import LabsError
from labsupport.kube.execute import execute

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

NODE = "node"  # the Pod that looks at the node's rules (labs/source/m1-east-west-traffic/start/node.yaml)
COMMAND = ("nft", "-j", "list", "table", "ip", "kube-proxy")
SETTLE = 3.0  # seconds for kube-proxy to follow EndpointSlices
_DEPTH = 8  # chains that may lead to one another before it is a loop


@dataclass(frozen=True)
class Target:
    """An address that connections are sent to, and how many of them: a share between 0 and 1."""

    address: str
    port: int
    share: float


@dataclass(frozen=True)
class Way:
    """One way in: an address (empty: any of the node's own) and a port, the map that knows it, the chain it leads to,
    the lots that are drawn there (1: none), whether a caller's address is remembered, and where connections end.
    """

    address: str
    protocol: str
    port: int
    map: str
    chain: str
    lots: int
    sticky: bool
    targets: tuple[Target, ...]

    @property
    def refuses(self) -> bool:
        """Whether connections are turned away."""
        return not self.targets


def parse(document: Mapping[str, Any]) -> tuple[Way, ...]:
    """All ways in of a table as `nft -j list table` writes it (libnftables-json(5)), by address and port."""
    chains: dict[str, list[list[dict[str, Any]]]] = {}
    maps: dict[str, list[Any]] = {}
    for entry in document["nftables"]:
        if "rule" in entry:
            chains.setdefault(entry["rule"]["chain"], []).append(entry["rule"]["expr"])
        elif "map" in entry:
            maps[entry["map"]["name"]] = entry["map"].get("elem", [])
    ways = []
    for name in ("service-ips", "service-nodeports", "no-endpoint-services", "no-endpoint-nodeports"):
        for key, verdict in maps.get(name, []):
            parts = _unwrapped(key)["concat"]
            address, protocol, port = parts if len(parts) == 3 else ("", *parts)
            chain = _goto(verdict) or ""
            lots, sticky, targets = _follow(chains, chain, 1.0, _DEPTH)
            ways.append(Way(address, protocol, int(port), name, chain, lots, sticky, tuple(targets)))
    return tuple(sorted(ways, key=lambda way: (way.address, way.port, way.protocol)))


def _follow(
    chains: Mapping[str, list[list[dict[str, Any]]]], name: str, share: float, depth: int
) -> tuple[int, bool, list[Target]]:
    """Where a connection ends that enters chain `name`, whatever a chain remembers of its caller."""
    if depth == 0:
        raise LabsError(f"The chains of kube-proxy lead in a circle at {name}.")
    sticky = False
    lots, targets = 1, []
    for expressions in chains.get(name, []):
        sticky = sticky or any("@affinity-" in json.dumps(each) for each in expressions)
        # A rule about where a packet comes from is for some callers only; the general one comes after it.
        if any(_about_source(each) for each in expressions):
            continue
        for each in expressions:
            if "dnat" in each:
                count, found = _destinations(each["dnat"], share)
                return max(lots, count), sticky, found
            branches = list(_branches(each))
            if not branches:
                continue
            lots = max(lots, len(branches))
            for branch in branches:
                more, remembered, found = _follow(chains, branch, share / len(branches), depth - 1)
                lots, sticky = max(lots, more), sticky or remembered
                targets += found
            return lots, sticky, targets
    return lots, sticky, targets


def _destinations(dnat: Mapping[str, Any], share: float) -> tuple[int, list[Target]]:
    address = dnat["addr"]
    if isinstance(address, str):
        return 1, [Target(address, int(dnat.get("port", 0)), share)]
    lots = [value["concat"] for _, value in address["map"]["data"]["set"]]
    return len(lots), [Target(str(where), int(port), share / len(lots)) for where, port in lots]


def _branches(expression: Mapping[str, Any]) -> Iterator[str]:
    """The chains that an expression leads to."""
    if "vmap" in expression and isinstance(expression["vmap"]["data"], dict):
        for _, verdict in expression["vmap"]["data"]["set"]:
            if chain := _goto(verdict):
                yield chain
    elif chain := _goto(expression):
        yield chain


def _goto(verdict: Mapping[str, Any]) -> str | None:
    for word in ("goto", "jump"):
        if word in verdict:
            return str(verdict[word]["target"])
    return None


def _about_source(expression: Mapping[str, Any]) -> bool:
    left = expression.get("match", {}).get("left", {})
    return left.get("payload", {}).get("field") == "saddr" or "fib" in left


def _unwrapped(key: Any) -> Any:
    """A key of a map with its comment taken off."""
    return key["elem"]["val"] if "elem" in key else key


def read(api: ApiClient, namespace: str) -> tuple[Way, ...]:
    """The rules on the node of the Pod `node` in `namespace`, now. Errors: LabsError, as of `execute`."""
    if kube.get(api, "v1", "Pod", NODE, namespace) is None:
        raise LabsError(
            f"There is no Pod {NODE} in {namespace} to look at the node from.", fix='lab.start("M1")'
        )
    return parse(json.loads(execute(api, namespace, NODE, COMMAND)))


def _settled(api: ApiClient, namespace: str, service: Mapping[str, Any]) -> tuple[Way, ...]:
    """The ways to a Service once they lead to the ready addresses of its EndpointSlices, or as they are in the end.

    kube-proxy follows within about a second; packet rules cannot be watched, so they are read again.
    """
    label = f"kubernetes.io/service-name={service['metadata']['name']}"
    deadline = time.monotonic() + SETTLE
    while True:
        wanted = {
            address
            for each in kube.list_objects(
                api, "discovery.k8s.io/v1", "EndpointSlice", namespace, labels=label
            )
            for endpoint in each.get("endpoints") or []
            if (endpoint.get("conditions") or {}).get("ready", True)
            for address in endpoint["addresses"]
        }
        ways = ways_of(service, read(api, namespace))
        if {
            target.address for way in ways for target in way.targets
        } == wanted or time.monotonic() > deadline:
            return ways
        time.sleep(0.1)


def ways_of(service: Mapping[str, Any], ways: tuple[Way, ...]) -> tuple[Way, ...]:
    """The ways that lead to a Service object: by its ClusterIP, and by its node ports."""
    spec = service["spec"]
    node_ports = {port.get("nodePort") for port in spec.get("ports") or []} - {None}
    return tuple(
        way
        for way in ways
        if way.address == spec.get("clusterIP") or (not way.address and way.port in node_ports)
    )


def picture(api: ApiClient, namespace: str, name: str, *, outside: bool = False) -> Picture:
    """The way through the rules to the Service `name` as it is now, drawn; by its node port, if `outside`.

    Errors: LabsError if there is no such Service, or as of `read`.
    """
    service = kube.get(api, "v1", "Service", name, namespace)
    if service is None:
        raise LabsError(f"There is no Service {name} in {namespace}.", fix="labs kubectl get services")
    found = tuple(way for way in _settled(api, namespace, service) if bool(way.address) != outside)
    pods = {
        str((each.get("status") or {}).get("podIP")): each["metadata"]["name"]
        for each in kube.list_objects(api, "v1", "Pod", namespace)
        if not each["spec"].get("hostNetwork")
    }
    return draw(name, found, pods)


def draw(name: str, ways: tuple[Way, ...], pods: Mapping[str, str]) -> Picture:
    """A picture of the first of `ways` to the Service `name`; `pods` are names by address."""
    title = f"From the Service {name} to its Pods, by the rules of kube-proxy"
    if not ways:
        return fanout([Stage(name, "no rule knows it")], [], title=title)
    way = ways[0]
    where = f"{way.address or 'any node'}:{way.port}"
    stages = [
        Stage(where, f"{way.protocol}, what callers dial"),
        Stage(f"map {way.map}", "who knows this address?"),
    ]
    if way.refuses:
        stages.append(Stage(way.chain, "reject: no endpoint"))
        return fanout(stages, [], title=title)
    lots = f"numgen random mod {way.lots}" if way.lots > 1 else "no choice"
    stages.append(
        Stage(f"chain {_short(way.chain)}", f"{lots}{', callers remembered' if way.sticky else ''}")
    )
    ends = [
        End(f"{each.address}:{each.port}", pods.get(each.address, "no Pod of this namespace"), each.share)
        for each in way.targets
    ]
    return fanout(stages, ends, title=title)


def _short(chain: str) -> str:
    """service-T34EAHFE-lab-m1/inventory/tcp/http without what the namespace adds to it."""
    head, _, rest = chain.partition("/")
    return f"{'-'.join(head.split('-')[:2])}-…/{rest}" if rest else chain
