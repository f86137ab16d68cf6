"""Gateways without a cluster: which route holds where, what is said of it, what is made, and what is left alone."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.mesh import certificates, gateways, names, status
from labsupport.mesh.api import Name, Reference
from labsupport.mesh.edge import keeper, workload
from labsupport.mesh.edge import status as edge_status
from labsupport.mesh.identity import ca
from labsupport.mesh.serve import messages
from labsupport.mesh.translate import envoy, gateway, parts
from labsupport.mesh.translate.parts import Part
from tests.mesh import samples
from tests.mesh.samples import Object, to

NOW = "2026-02-01T00:00:00Z"


def said(conditions: list[Object]) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in conditions}


def of_route(
    route: Object, *objects: Object, listeners: tuple[Object, ...] = ()
) -> dict[str, tuple[str, str]]:
    model = samples.model(*samples.shop(), *samples.edge(*listeners), route, *objects)
    content = status.route_status(model, route, "", NOW)
    assert content is not None
    return said(content["parents"][0]["conditions"])


def of_gateway(*objects: Object, listeners: tuple[Object, ...] = (), trouble: str = "") -> Object:
    made = samples.edge(*listeners)
    found = edge_status.gateway_status(
        samples.model(*samples.shop(), *made, *objects), made[1], "", trouble, NOW
    )
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("listener", "hosts", "common"),
    [
        ("", (), ["*"]),
        ("a.example", (), ["a.example"]),
        ("", ("b.example",), ["b.example"]),
        ("*.example", ("b.example", "example", "c.b.example"), ["b.example", "c.b.example"]),
        ("b.example", ("*.example",), ["b.example"]),
        ("*.example", ("*.b.example",), ["*.b.example"]),
        ("b.example", ("c.example",), []),
    ],
)
def test_hosts_that_both_name(listener: str, hosts: tuple[str, ...], common: list[str]) -> None:
    assert gateways.common(listener, hosts) == common


SELECTED = {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"edge": "yes"}}}}
OTHER = {"kind": "Namespace", "metadata": {"name": "other", "labels": {"edge": "yes"}}}


@pytest.mark.parametrize(
    ("route", "listener", "reason"),
    [
        ({}, {}, "Accepted"),
        ({"sectionName": "absent"}, {}, "NoMatchingParent"),
        ({"port": 81}, {}, "NoMatchingParent"),
        ({"hostnames": ["b.example"]}, {"hostname": "a.example"}, "NoMatchingListenerHostname"),
        ({"namespace": "other"}, {}, "NotAllowedByListeners"),
        ({"namespace": "other"}, {"allowedRoutes": {"namespaces": {"from": "All"}}}, "Accepted"),
        ({"namespace": "other"}, {"allowedRoutes": SELECTED}, "Accepted"),
        ({"kind": "GRPCRoute"}, {}, "Accepted"),
        (
            {"kind": "GRPCRoute"},
            {"allowedRoutes": {"kinds": [{"kind": "HTTPRoute"}]}},
            "NotAllowedByListeners",
        ),
        ({}, {"allowedRoutes": {"kinds": [{"kind": "GRPCRoute"}]}}, "NotAllowedByListeners"),
        ({}, {"protocol": "TLS"}, "NoMatchingParent"),
    ],
)
def test_a_route_says_whether_it_is_attached(route: Object, listener: Object, reason: str) -> None:
    found = of_route(
        samples.at_gateway("one", to("orders"), **route),
        OTHER,
        listeners=(samples.listener("http", **listener),),
    )
    assert found["Accepted"] == ("True" if reason == "Accepted" else "False", reason)


def test_a_service_of_another_namespace_needs_a_grant() -> None:
    route = samples.at_gateway(
        "one", {"backendRefs": [{"name": "orders", "namespace": "shop", "port": 80}]}, namespace="other"
    )
    open_to_all = (samples.listener("http", allowedRoutes={"namespaces": {"from": "All"}}),)
    assert of_route(route, listeners=open_to_all)["ResolvedRefs"] == ("False", "RefNotPermitted")
    spec = {
        "from": [{"group": gateways.GROUP, "kind": "HTTPRoute", "namespace": "other"}],
        "to": [{"group": "", "kind": "Service", "name": "orders"}],
    }
    grant = {"kind": "ReferenceGrant", "metadata": {"name": "g", "namespace": "shop"}, "spec": spec}
    assert of_route(route, grant, listeners=open_to_all)["ResolvedRefs"][0] == "True"


def test_a_gateway_says_where_it_is_and_how_many_routes_it_has() -> None:
    routes = [samples.at_gateway(name, to("orders")) for name in ("one", "two")]
    found = of_gateway(*routes, samples.at_gateway("foreign", to("orders"), namespace="other"))
    assert found["addresses"] == [{"type": "IPAddress", "value": "10.96.0.50"}]
    assert found["listeners"][0]["attachedRoutes"] == 2
    assert said(found["conditions"]) == {
        "Accepted": ("True", "Accepted"),
        "Programmed": ("True", "Programmed"),
    }


def test_it_is_programmed_once_a_proxy_is_ready_and_not_before() -> None:
    away = samples.endpoint_slice(
        "edge-labs-mesh",
        "edge-labs-mesh-1@10.244.0.50",
        ports=[{"name": "http-80", "port": 10080}],
        ready=False,
    )
    assert said(of_gateway(away)["conditions"])["Programmed"] == ("False", "Pending")
    assert said(of_gateway(trouble="forbidden")["conditions"])["Programmed"] == ("False", "Pending")


@pytest.mark.parametrize(
    ("second", "type_", "reason"),
    [
        ({"hostname": "a.example"}, "Accepted", "Accepted"),
        ({}, "Conflicted", "HostnameConflict"),
        ({"protocol": "TLS", "port": 443}, "Accepted", "UnsupportedProtocol"),
        ({"protocol": "HTTPS", "hostname": "a.example"}, "Conflicted", "ProtocolConflict"),
        ({"port": 15006}, "Accepted", "PortUnavailable"),
        ({"port": 10080}, "Accepted", "PortUnavailable"),
    ],
)
def test_of_listeners_that_cannot_both_be_the_first_is(second: Object, type_: str, reason: str) -> None:
    found = of_gateway(listeners=(samples.listener("one"), samples.listener("two", **second)))
    first, other = (said(each["conditions"]) for each in found["listeners"])
    assert first["Accepted"][0] == "True"
    assert other[type_][1] == reason
    assert said(found["conditions"])["Accepted"] == (
        "True",
        "Accepted" if reason == "Accepted" else "ListenersNotValid",
    )


def secret(**changed: Any) -> Object:
    """A Secret as kubectl makes it."""
    root = ca.new_root("shop.example", datetime.now(UTC))
    data = {"tls.crt": ca.pem(root.certificate), "tls.key": ca.key_pem(root.key), **changed.pop("data", {})}
    made = {"type": "kubernetes.io/tls", **changed}
    return {**made, "data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}}


NAME = Name("shop", "shop-tls")


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, "there is no Secret"),
        (secret(type="Opaque"), "of type Opaque"),
        (secret(data={"tls.crt": "x"}), "no certificate in PEM"),
        (secret(data={"tls.key": ""}), "no private key in PEM"),
        (secret(data={"tls.key": ca.key_pem(ca.new_key())}), "not the key of"),
        (secret(), ""),
    ],
)
def test_what_is_wrong_with_a_secret_is_told(found: Object | None, why: str) -> None:
    read = certificates.read(NAME, found)
    assert why in read.fault
    assert bool(read.fault) == bool(why)
    assert bool(read.key) != bool(why)
    assert "PRIVATE" not in repr(read)


def secure(*refs: Object, **listener: Any) -> tuple[Object, ...]:
    tls = {"certificateRefs": list(refs)}
    return (samples.listener("tls", 443, protocol="HTTPS", tls=tls, **listener), samples.listener("http"))


@pytest.mark.parametrize(
    ("ref", "held", "reason"),
    [
        ({"name": "shop-tls"}, certificates.read(NAME, secret()), "ResolvedRefs"),
        ({"name": "shop-tls"}, None, "InvalidCertificateRef"),
        ({"name": "shop-tls"}, certificates.closed(NAME), "InvalidCertificateRef"),
        ({"name": "shop-tls", "kind": "ConfigMap"}, None, "InvalidCertificateRef"),
        ({"name": "shop-tls", "namespace": "other"}, None, "RefNotPermitted"),
    ],
)
def test_a_listener_is_served_by_tls_once_its_certificate_is_there(
    ref: Object, held: certificates.Certificate | None, reason: str
) -> None:
    made = samples.edge(*secure(ref, hostname="a.example"))
    model = samples.model(*samples.shop(), *made).with_certificate(NAME, held)
    status_ = edge_status.gateway_status(model, made[1], "", "", NOW)
    assert status_ is not None
    first, other = (said(each["conditions"]) for each in status_["listeners"])
    ok = reason == "ResolvedRefs"
    assert first["ResolvedRefs"] == ("True" if ok else "False", reason)
    assert first["Programmed"][0] == ("True" if ok else "False")
    assert other["Programmed"][0] == "True"
    made_of = gateway.translate(model, samples.EDGE_POD)
    found = {each.key.name: each.body for each in made_of if each.key.type_url != envoy.ROUTES}
    plain = {"gateway/80"}
    assert found.keys() == (plain | {"gateway/443", "certificate/shop/shop-tls"} if ok else plain)
    if ok:
        (chain,) = found["gateway/443"]["filter_chains"]
        assert chain["filter_chain_match"] == {"server_names": ["a.example"]}
        for resource in made_of:
            messages.encode(resource.key.type_url, resource.body)
    after = model.with_certificate(NAME, certificates.read(NAME, secret()))
    changed = parts.affected(model, after, Reference("Certificate", *NAME), {samples.EDGE_POD})
    if ref == {"name": "shop-tls"}:
        assert Part(parts.WORKLOAD, samples.EDGE_POD) in changed


def test_a_secret_that_is_closed_is_said_to_be_and_how_to_open_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = samples.edge(*secure({"name": "shop-tls"}))
    cluster = Cluster(monkeypatch, *made)
    told: list[certificates.Certificate] = []
    cluster.told_certificate = lambda name, found: told.append(found)  # type: ignore[attr-defined]

    def get(api: Any, version: str, kind: str, *name: str) -> None:
        raise kube.Refused(403, "Forbidden", "no")

    monkeypatch.setattr(kube, "get", get)
    found = gateways.gateway(made[1])
    assert cluster.keeper._certificates(cluster, found)  # type: ignore[arg-type]
    assert "create role mesh-shop-tls --verb=get --resource=secrets --resource-name=shop-tls" in told[0].fault

    def away(api: Any, version: str, kind: str, *name: str) -> None:
        raise kube.Unreachable("no answer")

    monkeypatch.setattr(kube, "get", away)
    assert cluster.keeper._certificates(cluster, found)  # type: ignore[arg-type]
    assert len(told) == 1  # what was read before holds
    monkeypatch.setattr(kube, "get", lambda *_: secret())
    assert not cluster.keeper._certificates(cluster, found)  # type: ignore[arg-type]
    assert not told[1].fault


def test_nothing_is_said_of_a_gateway_of_another_class() -> None:
    made = samples.edge(gatewayClassName="other")
    assert edge_status.gateway_status(samples.model(*made), made[1], "", "", NOW) is None


def test_a_ready_proxy_changes_its_gateways_status() -> None:
    after = samples.model(*samples.edge())
    changed = Reference("EndpointSlice", "shop", "edge-labs-mesh-1")
    assert Reference("Gateway", "shop", "edge") in status.touched(after, after, changed)


def test_what_is_made_goes_with_its_gateway_and_has_no_rights() -> None:
    documents = workload.documents(samples.edge()[1], "r1")
    assert {each["metadata"]["name"] for each in documents} == {"edge-labs-mesh"}
    for each in documents:
        (owner,) = each["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == ("u-1", True)
    service, deployment = documents[1]["spec"], documents[2]["spec"]["template"]
    assert [(each["port"], each["targetPort"]) for each in service["ports"]] == [(80, 10080)]
    assert service["selector"].items() <= deployment["metadata"]["labels"].items()
    assert deployment["metadata"]["annotations"][names.INJECT] == "false"
    (container,) = deployment["spec"]["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {"name": "MESH_CAPTURE", "value": "gateway"} in container["env"]


class Cluster:
    """What the keeper meets, and what it does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *objects: Object) -> None:
        self.model = samples.model(*objects)
        self.present: dict[str, Object] = {}
        self.done: list[str] = []
        monkeypatch.setattr(
            kube, "get", lambda api, version, kind, name, namespace="": self.present.get(kind)
        )
        monkeypatch.setattr(kube, "apply", self.note("apply"))
        monkeypatch.setattr(kube, "delete", self.note("delete"))
        self.keeper = keeper.Keeper(
            object(), lambda: self, "r1", lambda space: self.done.append(f"trust {space}")
        )  # type: ignore[arg-type, return-value]

    def note(self, verb: str) -> Any:
        return lambda api, documents, **options: self.done.extend(
            f"{verb} {each['kind']}" for each in documents
        )


MADE = ["apply ServiceAccount", "apply Service", "apply Deployment"]


def test_what_a_gateway_needs_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made = samples.edge()
    cluster = Cluster(monkeypatch, *made)
    cluster.keeper.keep(made[1])
    assert cluster.done == ["trust shop", *MADE]


def test_an_object_that_is_somebody_elses_is_not_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    made = samples.edge()
    cluster = Cluster(monkeypatch, *made)
    cluster.present["Deployment"] = {"metadata": {"name": "edge-labs-mesh"}}
    with pytest.raises(LabsError, match="not the Gateway's"):
        cluster.keeper.keep(made[1])
    assert cluster.done == []


@pytest.mark.parametrize(
    ("class_", "gone"), [(None, False), ("other/controller", True), (names.CONTROLLER, False)]
)
def test_what_was_made_goes_only_for_another_controller(
    monkeypatch: pytest.MonkeyPatch, class_: str | None, gone: bool
) -> None:
    """A class that is not there, or not known yet, ends nothing that is in use."""
    made = samples.edge()
    cluster = Cluster(monkeypatch, made[1])
    owned = {"metadata": {"name": "edge-labs-mesh", "ownerReferences": [workload.owner(made[1])]}}
    cluster.present = dict.fromkeys(("ServiceAccount", "Service", "Deployment"), owned)
    if class_:
        cluster.present["GatewayClass"] = {"spec": {"controllerName": class_}}
    cluster.keeper.keep(made[1])
    assert any(each.startswith("delete") for each in cluster.done) is gone


def test_the_proxy_of_a_gateway_is_known_by_its_pod() -> None:
    model = samples.model(*samples.edge())
    found = model.workloads[samples.EDGE_POD]
    assert gateways.of_workload(found) == Name("shop", "edge")
    assert not found.answers_mtls(10080)


@pytest.mark.parametrize("names_in_order", [("wide", "exact"), ("exact", "wide")])
def test_of_two_routes_the_one_that_names_the_host_more_closely_has_it(
    names_in_order: tuple[str, str],
) -> None:
    """Also at a listener for that host alone, where both are for the same; whichever is older."""
    hosts = {"wide": ["*.shop.example"], "exact": ["a.shop.example"]}
    backends = {"wide": "orders-v2", "exact": "orders"}
    routes = [samples.at_gateway(each, to(backends[each]), hostnames=hosts[each]) for each in names_in_order]
    for number, each in enumerate(routes):
        each["metadata"]["creationTimestamp"] = f"2026-01-0{number + 1}T00:00:00Z"
    here = samples.edge(samples.listener("http", hostname="a.shop.example"))
    found = gateway.translate(samples.model(*samples.shop(), *here, *routes), samples.EDGE_POD)
    (table,) = [each.body for each in found if each.key.type_url == envoy.ROUTES]
    (host,) = [each for each in table["virtual_hosts"] if each["domains"] == ["a.shop.example"]]
    assert "orders/80" in str(host["routes"][0]["route"])
    assert "orders-v2" in str(host["routes"][1]["route"])
