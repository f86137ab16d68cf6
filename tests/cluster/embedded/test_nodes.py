"""Addresses and routes of nodes, which of them can be asked for, and what is said of each."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from labsupport.cluster import nodes_of
from labsupport.cluster.directory import ClusterDirectory
from labsupport.cluster.embedded import addresses, holder, nodes, pki, prepare
from labsupport.cluster.embedded.addresses import FIRST, MAX_NODES, Addresses
from labsupport.cluster.embedded.holder import Held, HeldWorker
from labsupport.errors import LabsError

ALL = [Addresses(number) for number in range(1, MAX_NODES + 1)]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterDirectory:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = ClusterDirectory("labs")
    made.make()
    made.update_record(backend="embedded", nodes=3)
    return made


def test_addresses_are_apart_and_within_the_clusters_ranges() -> None:
    pods = [ipaddress.ip_network(node.pod_cidr) for node in ALL]
    assert not any(one.overlaps(other) for one in pods for other in pods if one is not other)
    assert all(one.subnet_of(ipaddress.ip_network(addresses.PODS_CIDR)) for one in pods)
    ips = {ipaddress.ip_address(node.ip) for node in ALL}
    assert len(ips) == len(ALL)
    assert all(ip in ipaddress.ip_network(addresses.NODES_CIDR) for ip in ips)


@pytest.mark.parametrize("node", ALL, ids=lambda node: node.name)
def test_no_route_leads_out_of_the_cluster(node: Addresses) -> None:
    inside = [ipaddress.ip_network(cidr) for cidr in (addresses.NODES_CIDR, addresses.PODS_CIDR)]
    inside.append(ipaddress.ip_network(addresses.SERVICE_CIDR))
    routes = [line.split() for line in addresses.network_commands(node) if line.startswith("route ")]
    assert routes
    for words in routes:
        target = ipaddress.ip_network(words[3] if words[2] == "unreachable" else words[2])
        assert any(target.subnet_of(each) for each in inside), words


def test_the_first_nodes_network_knows_of_no_other() -> None:
    assert addresses.network_commands(FIRST) == (
        "link set lo up",
        "addr add 192.168.77.1/32 dev lo",
        "route add 10.96.0.0/16 dev lo src 192.168.77.1",
    )


def test_a_worker_answers_for_its_own_range_and_asks_the_first_node_for_the_others() -> None:
    commands = addresses.network_commands(Addresses(3))
    assert "route add unreachable 10.244.2.0/24" in commands
    assert "route add 10.244.0.0/16 via 192.168.77.1 dev eth0 src 192.168.77.3" in commands


@pytest.mark.parametrize("name", ["node-0", "node-10", "node-", "node-2 ", "../node-2", "node-2x", ""])
def test_a_name_that_no_node_can_have(name: str) -> None:
    assert addresses.named(name) is None


def test_names_lead_back_to_nodes() -> None:
    assert [addresses.named(node.name) for node in ALL] == ALL
    assert [node.name for node in addresses.workers(3)] == ["node-2", "node-3"]
    assert addresses.workers(1) == ()


def test_rules_of_a_cut_cable_are_replaced_as_a_whole() -> None:
    cut, whole = (addresses.cut_rules(2, "node-2", cut=cut) for cut in (True, False))
    assert 'iifname "node-2" drop' in cut
    assert cut.startswith(whole)
    assert "drop" not in whole


@pytest.mark.parametrize(
    ("recorded", "asked", "count"), [(None, None, 1), (None, 3, 3), (1, 3, 3), (3, None, 3), (3, 3, 3)]
)
def test_how_many_nodes_come_up(recorded: int | None, asked: int | None, count: int) -> None:
    assert nodes.wanted_count(recorded, asked, "labs") == count


@pytest.mark.parametrize("asked", [0, -1, MAX_NODES + 1])
def test_a_number_of_nodes_that_cannot_be(asked: int) -> None:
    with pytest.raises(LabsError, match=f"of {asked} nodes"):
        nodes.wanted_count(None, asked, "labs")


def test_fewer_nodes_than_there_are_need_a_new_cluster() -> None:
    with pytest.raises(LabsError) as refused:
        nodes.wanted_count(3, 1, "mine")
    assert "labs node stop --name mine node-3" in refused.value.fix
    assert "labs down --name mine" in refused.value.fix


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("node-1", "cannot stop it"), ("node-4", "node-1, node-2, node-3"), ("x", "no node 'x'")],
)
def test_a_node_that_cannot_be_stopped(directory: ClusterDirectory, name: str, complaint: str) -> None:
    with pytest.raises(LabsError, match=complaint) as refused:
        nodes.worker_named(directory, name, "stop")
    assert refused.value.fix


def test_commands_about_nodes_want_a_running_embedded_cluster(directory: ClusterDirectory) -> None:
    with pytest.raises(LabsError, match="is not running"):
        nodes_of("labs").command_node("stop", "node-2")
    with pytest.raises(LabsError, match="There is no cluster"):
        nodes_of("other")


def test_states_and_what_is_said_of_nodes_that_are_out(
    directory: ClusterDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(1, 2, 3, 4, {"node-2": HeldWorker("partitioned", 5), "node-3": HeldWorker("stopped", 0)})
    assert [*nodes.states(held, 4).values()] == ["running", "partitioned", "stopped", "ended"]
    assert {*nodes.states(None, 3).values()} == {"stopped"}
    monkeypatch.setattr(holder, "find", lambda _: held)
    cut, stopped = nodes.out_on_purpose(directory, 4)
    assert "labs node heal node-2" in cut
    assert "labs node start node-3" in stopped


def test_a_worker_runs_what_every_node_does_and_waits_for_nothing_of_the_first() -> None:
    definition = prepare.read_components(prepare.DEFINITIONS / "components.toml")
    worker = prepare.components_of(definition, Addresses(2))["component"]
    names = [entry["name"] for entry in worker]
    assert names == ["container-monitor", "runtime", "kubelet", "kube-proxy"]
    assert all(entry["after"] in ("", *names) and not entry["after_answering"] for entry in worker)
    kubelet = next(entry["argv"] for entry in worker if entry["name"] == "kubelet")
    assert {"--hostname-override=node-2", "--node-ip=192.168.77.2"} <= set(kubelet)
    first = prepare.components_of(definition, FIRST)["component"]
    assert len(first) == len(definition["component"])
    assert not any("{" in word for entry in first + worker for word in entry["argv"])


def test_a_worker_gets_its_certificates_and_no_authoritys_key(tmp_path: Path) -> None:
    first, place = tmp_path / "first", tmp_path / "worker"
    pki.ensure(first, tmp_path / "admin", pki.leaves("node-1", "192.168.77.1", "10.96.0.1"))
    leaves = pki.worker_leaves("node-2", "192.168.77.2")
    assert pki.ensure_worker(place, first, leaves) == ("kube-proxy", "kubelet")
    assert sorted(path.name for path in place.iterdir()) == [
        "ca.crt",
        "kube-proxy.crt",
        "kube-proxy.key",
        "kubelet.crt",
        "kubelet.key",
    ]
    assert pki.ensure_worker(place, first, leaves) == ()
    (place / "kubelet.key").write_text("half")
    assert pki.due_worker(place, first, leaves) == ("kubelet",)
