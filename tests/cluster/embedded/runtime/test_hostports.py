from __future__ import annotations

from labsupport.cluster.embedded.runtime import hostports
from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri
from labsupport.cluster.embedded.runtime.store import Sandbox


def sandbox(*ports: cri.PortMapping, ready: bool = True) -> Sandbox:
    return Sandbox("s", cri.PodSandboxConfig(port_mappings=ports), 1, address="10.244.0.9", ready=ready)


PORT = cri.PortMapping(protocol=cri.UDP, container_port=53, host_port=5353, host_ip="192.168.77.1")


def test_only_ports_of_ready_pods() -> None:
    anywhere = cri.PortMapping(container_port=80, host_port=8080, host_ip="0.0.0.0")  # noqa: S104
    plain, six = cri.PortMapping(container_port=81), cri.PortMapping(host_port=1, host_ip="::1")
    assert hostports.forwards([sandbox(PORT, anywhere, plain, six), sandbox(PORT, ready=False)]) == [
        hostports.Forward("udp", "192.168.77.1", 5353, "10.244.0.9", 53),
        hostports.Forward("tcp", "", 8080, "10.244.0.9", 80),
    ]


def test_pod_in_the_nodes_network_needs_none() -> None:
    pod = sandbox(PORT)
    pod.config.linux.security_context.namespace_options.network = cri.NODE
    assert hostports.forwards([pod]) == []


def test_rules_replace_the_table() -> None:
    text = hostports.ruleset([hostports.Forward("tcp", "", 8080, "10.244.0.9", 80)])
    assert text.startswith("add table ip labs_hostports\ndelete table ip labs_hostports\ntable ip")
    assert text.count("fib daddr type local tcp dport 8080 dnat to 10.244.0.9:80") == 2
    assert "ip saddr { 127.0.0.0/8, 10.244.0.9 } ip daddr 10.244.0.9 ct status dnat masquerade" in text


def test_no_ports_no_table() -> None:
    assert hostports.ruleset([]) == "add table ip labs_hostports\ndelete table ip labs_hostports\n"
