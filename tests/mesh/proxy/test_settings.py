"""What the sidecar is told, and what it says when that is not enough."""

from __future__ import annotations

import pytest

from labsupport.mesh.proxy.settings import from_environment

ENVIRONMENT = {
    "POD_NAME": "orders-1",
    "POD_NAMESPACE": "shop",
    "POD_UID": "u-1",
    "POD_IP": "10.244.0.7",
    "SERVICE_ACCOUNT": "orders",
}


def test_the_usual_case() -> None:
    settings = from_environment(ENVIRONMENT | {"MESH_PROBES": '{"app/liveness": {"tcpSocket": {"port": 1}}}'})
    assert settings.uri == "spiffe://labs.example/ns/shop/sa/orders"
    assert (settings.control, settings.mark) == ("mesh-control.labs-system.svc", 0x539)
    assert settings.identity_file == "/var/run/mesh/identity.json"
    assert settings.control_trust_file == "/var/run/mesh/control-trust.json"
    assert settings.roots_file == "/etc/mesh/trust/roots.pem"
    assert settings.probes == {"app/liveness": {"tcpSocket": {"port": 1}}}


def test_without_capture_no_socket_is_marked() -> None:
    settings = from_environment(ENVIRONMENT | {"MESH_CAPTURE": "env", "MESH_CONTROL": "elsewhere"})
    assert (settings.mark, settings.control) == (None, "elsewhere")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"POD_IP": "", "POD_UID": ""}, "POD_UID, POD_IP"),
        ({"MESH_CAPTURE": "iptables"}, "not one of redirect, env"),
        ({"MESH_PROBES": "{"}, "MESH_PROBES is not JSON"),
        ({"MESH_PROBES": "[]"}, "no JSON object"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        from_environment(ENVIRONMENT | change)
