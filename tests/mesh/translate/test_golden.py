"""What translation gives, one file below golden/ for each kind of configuration, to be read and compared.

After a change that is meant: RENEW=1 .venv/bin/python -m pytest tests/mesh/translate/test_golden.py, and read the diff.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from labsupport.mesh import names
from labsupport.mesh.api import Name
from labsupport.mesh.model import Model
from labsupport.mesh.translate import envoy, parts, reports
from labsupport.mesh.translate.parts import Part
from tests.mesh import samples
from tests.mesh.samples import Object, to
from tests.mesh.translate.test_requests import RULES

GOLDEN = Path(__file__).with_name("golden")
# What would be the same in every file is named instead.
_LOGS = {kind: getattr(reports, kind)(Model(), reports.OUTBOUND)["access_log"] for kind in ("http", "tcp")}
KNOWN = {
    **{f"(failures, {kind} reports)": [*envoy.failures(), *log] for kind, log in _LOGS.items()},
    "(failures)": envoy.failures(),
    "(retry)": envoy.RETRY,
    "(no limits)": envoy.UNLIMITED,
    "(no faults)": envoy.fault(),
    "(no rate)": envoy.rate(),
    "(raw)": envoy.RAW,
    "(ads)": envoy.ADS,
}


def port(name: str) -> Object:
    return {"name": name, "port": 80, "targetPort": 8080}


def behind(protocol: str, *extra: Object) -> list[Object]:
    """A Service of one port, with Pods in the mesh, and with others."""
    ports = [{"name": protocol, "port": 8080}]
    return [
        samples.service("orders", port(protocol)),
        samples.pod("orders-1", "10.244.0.11", account="orders"),
        samples.endpoint_slice("orders", "orders-1@10.244.0.11", ports=ports),
        *extra,
    ]


def mixed() -> list[Object]:
    both = ("orders-1@10.244.0.11", "outside@10.244.0.99")
    return [*behind("http"), samples.endpoint_slice("orders", *both)]


def policy(**spec: Any) -> Object:
    return {"kind": "PeerAuthentication", "metadata": {"name": "default", "namespace": "shop"}, "spec": spec}


def excluded() -> Object:
    made = samples.pod("away-1", "10.244.0.31")
    made["metadata"]["annotations"] = {names.EXCLUDE_INBOUND: "8080, 9090"}
    return made


def explicit() -> Object:
    made = samples.pod("orders-3", "10.244.0.13")
    made["metadata"]["labels"][names.PROXY] = "env"
    return made


def routed(*rules: Object, kind: str = "HTTPRoute") -> list[Object]:
    return [*samples.shop(), samples.route("one", *rules, kind=kind)]


def consumer() -> list[Object]:
    made = samples.route("mine", to("orders"), namespace="other")
    made["spec"]["parentRefs"][0]["namespace"] = "shop"
    return [*samples.shop(), samples.route("theirs", to("orders-v2")), made]


def every(*names_: str) -> list[Object]:
    """The rules of other tests; their backends are those of the shop."""
    text = yaml.safe_dump([rule for name in names_ for rule in RULES[name]])
    found: list[Object] = yaml.safe_load(
        text.replace("name: v2", "name: orders-v2").replace("name: copy", "name: orders")
    )
    return found


def redirected() -> list[Object]:
    return every("host")


def governed(name: str, protocol: str = "http", *rules: Object) -> list[Object]:
    """The Service of one of the policies."""
    found = [samples.service(name, port(protocol)), *samples.traffic_policies()]
    return found + ([samples.route("a", *rules, parent=name)] if rules else [])


TIMED = to("one", "two", timeouts={"backendRequest": "100ms"}, matches=[{"method": "PUT"}])
CALLER = {
    "identities": ["shop/web", "*/batch", "spiffe://labs.example/ns/other/sa/web"],
    "namespaces": ["shop"],
}
CALL = {"methods": ["GET"], "paths": ["/stock/*", "/healthz"], "ports": [8080, 9090],
        "headers": [{"name": "x-tenant", "values": ["a", "b*"]}]}  # fmt: skip
POLICIES = [
    samples.policy("allow", {"from": [CALLER], "to": [CALL]}, {"notFrom": [CALLER], "notTo": [CALL]}),
    samples.policy("deny", {"from": [CALLER], "to": [CALL]}, {"to": [{"ports": [8080]}]}, action="Deny"),
    samples.policy("tried", {"to": [CALL]}, mode="Audit", action="Deny"),
    samples.policy("trial", {}, mode="Audit"),
    samples.policy("another", action="Deny", selector={"matchLabels": {"app": "other"}}),
]


def egress(*allow: Object) -> Object:
    metadata = {"name": "default", "namespace": "shop", "generation": 1}
    return {
        "kind": "EgressPolicy",
        "metadata": metadata,
        "spec": {"mode": "Refuse", "allow": list(allow)},
    }


ADDRESSES = {"cidrs": ["192.0.2.0/24", "198.51.100.7/32"], "ports": [443, 5432]}
HOSTS = {"hosts": ["api.example.com", "*.example.net"], "ports": [80, 443]}
LISTENERS = (
    samples.listener("shop", hostname="*.shop.example"),
    samples.listener("any"),
    samples.listener("high", port=8080),
    samples.listener("tls", port=443, protocol="TLS"),
)
AT_GATEWAY = [
    *samples.shop(),
    *samples.edge(*LISTENERS),
    samples.at_gateway("www", to("orders"), hostnames=["www.shop.example"]),
    samples.at_gateway("all", to("orders:9", "orders-v2:1"), hostnames=["*.shop.example"]),
    samples.at_gateway(
        "any", to("orders-v2", filters=[{"type": "RequestRedirect", "requestRedirect": {"statusCode": 301}}])
    ),
    samples.at_gateway("foreign", to("orders"), namespace="other"),
]
ORDERS, POD = Name("shop", "orders"), Name("shop", "orders-1")
GRPC = [
    to("orders", matches=[{"method": {"service": "shop.Orders", "method": "Get"}}]),
    to(
        "absent", matches=[{"method": {"service": "shop.Orders"}, "headers": [{"name": "x-a", "value": "1"}]}]
    ),
    to("orders-v2:9", "absent:1"),
]
CASES: dict[str, tuple[Part, list[Object]]] = {
    "service-http": (Part("service", ORDERS), behind("http")),
    "service-http-mixed": (Part("service", ORDERS), mixed()),
    "service-grpc": (Part("service", ORDERS), behind("grpc")),
    "service-tcp": (Part("service", ORDERS), behind("tcp")),
    "service-tls": (Part("service", ORDERS), behind("https")),
    "service-auto": (Part("service", ORDERS), behind("any")),
    "routes-none": (Part("routes", ORDERS), samples.shop()),
    "routes-matches": (Part("routes", ORDERS), routed(*every("matches"))),
    "routes-weights": (Part("routes", ORDERS), routed(*every("zero"), *every("share"), *every("backend"))),
    "routes-filters": (Part("routes", ORDERS), routed(*every("headers", "copied", "authority"))),
    "routes-redirects": (Part("routes", ORDERS), routed(*every("host", "https", "moved", "port", "paths"))),
    "routes-rewrites": (Part("routes", ORDERS), routed(*every("root", "longer", "below", "whole"))),
    "routes-timeouts": (Part("routes", ORDERS), routed(*every("total", "each", "unlimited"))),
    "routes-unavailable": (Part("routes", ORDERS), routed(*every("all-zero", "nothing", "absent", "foreign"))),
    "routes-consumer": (Part("routes", ORDERS), consumer()),
    "routes-grpc": (Part("routes", ORDERS), routed(*GRPC, kind="GRPCRoute")),
    **{f"traffic-{name}": (Part("service", Name("shop", name)), governed(name)) for name in ("one", "two", "three")},
    "traffic-tcp": (Part("service", Name("shop", "four")), governed("four", "any")),
    "traffic-routes": (Part("routes", Name("shop", "one")), governed("one", "http", TIMED, *redirected())),
    "traffic-faults": (Part("routes", Name("shop", "two")), governed("two")),
    "workload-permissive": (Part("workload", POD), behind("http")),
    "workload-strict": (Part("workload", POD), behind("http", policy(mode="STRICT"))),
    "workload-tcp": (Part("workload", POD), behind("tcp", policy(mode="STRICT"))),
    "workload-grpc": (Part("workload", POD), behind("grpc", policy(mode="STRICT"))),
    "workload-ports": (Part("workload", POD), behind("any", policy(mode="STRICT", ports=[
        {"port": 8080, "mode": "PERMISSIVE"}, {"port": 9090, "mode": "PERMISSIVE"}]))),
    "workload-authorized": (Part("workload", POD), behind("any", *POLICIES)),
    "authorization": (Part("authorization", POD), behind("http", *POLICIES)),
    "authorization-none": (Part("authorization", POD), behind("http")),
    "authorization-nobody": (Part("authorization", POD), behind("http", samples.policy("nobody"))),
    "outbound": (Part("outbound"), [*samples.shop(), excluded()]),
    "outbound-alone": (Part("outbound"), []),
    "egress": (Part("egress", Name("shop", "")), [*samples.shop(), excluded(), egress(ADDRESSES, HOSTS)]),
    "egress-none": (Part("egress", Name("shop", "")), [*samples.shop(), egress()]),
    "explicit-egress": (Part("explicit", Name("shop", "")), [*samples.shop(), explicit(), egress(HOSTS)]),
    "gateway": (Part("workload", samples.EDGE_POD), AT_GATEWAY),
    "explicit": (Part("explicit", Name("shop", "")), [*consumer(), explicit()]),
    "trust": (Part("trust"), []),
}  # fmt: skip


def shortened(body: Any) -> Any:
    for name, known in KNOWN.items():
        if body == known:
            return name
    if isinstance(body, dict):
        return {key: shortened(value) for key, value in body.items()}
    return [shortened(each) for each in body] if isinstance(body, list) else body


def text(name: str) -> str:
    part, objects = CASES[name]
    found = [
        {
            "type": each.key.type_url.rpartition(".")[2],
            "scope": each.key.scope or "everyone",
            "sources": ["/".join(source) for source in each.sources],
            "resource": shortened(each.body),
        }
        for each in parts.translate(samples.model(*objects), part)
    ]
    return yaml.dump_all(found, Dumper=Plain, sort_keys=False, width=110)


class Plain(yaml.SafeDumper):
    """YAML without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


@pytest.mark.parametrize("name", CASES)
def test_translation_is_as_it_was(name: str) -> None:
    path, found = GOLDEN / f"{name}.yaml", text(name)
    if os.environ.get("RENEW"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(found)
    # As values: what order a dictionary is in says nothing, and to encode one changes it.
    assert list(yaml.safe_load_all(found)) == list(yaml.safe_load_all(path.read_text())), (
        f"{path.name}: how to renew it is said at the top of {Path(__file__).name}"
    )


def test_each_file_is_of_a_case() -> None:
    assert {each.stem for each in GOLDEN.iterdir()} == set(CASES)
