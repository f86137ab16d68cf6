"""The Gateway API's suite: which words it gets, and what is made of its report and of what it prints."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from labsupport import kube
from labsupport.cluster import gatewayapi
from labsupport.cluster.conformance import gateway, gateway_results
from labsupport.cluster.images import read_catalogue
from labsupport.errors import LabsError
from labsupport.kube import execute
from labsupport.mesh import names
from labsupport.mesh.admin import install, status, uninstall

SETTINGS = gateway.load()

# A run as it was printed, with fewer lines.
CONSOLE = """\
=== RUN   TestConformance
    conformance.go:117: Running conformance tests with:
    suite.go:447: 2026-11-30T11:57:07.001226803Z: Test Setup: Applying base manifests
=== RUN   TestConformance/GatewayModifyListeners
    conformance.go:64: Skipping GatewayModifyListeners: suite does not support Gateway
=== RUN   TestConformance/MeshBasic
=== RUN   TestConformance/MeshBasic/0_request_to_'/'
    pod.go:70: 2026-11-30T11:57:07.795048947Z: Got resp RawContent:       [0] StatusCode=200
        [0 body] Hostname=echo-v2-5874857c7f-ttq2f
=== RUN   TestConformance/MeshHTTPRouteMatching
=== RUN   TestConformance/MeshHTTPRouteMatching/0_request_to_'/'
=== PAUSE TestConformance/MeshHTTPRouteMatching/0_request_to_'/'
=== RUN   TestConformance/MeshHTTPRouteMatching/1_request_to_'/v2'
=== CONT  TestConformance/MeshHTTPRouteMatching/0_request_to_'/'
    httproute-matching.go:89: 2026-11-30T12:00:15.402692357Z: Request passed
=== NAME  TestConformance/MeshHTTPRouteMatching/1_request_to_'/v2'
    pod.go:72: 2026-11-30T12:00:14.5Z: Response expectation failed: expected pod name to start with echo-v2, got echo-v1
    http.go:287: 2026-11-30T12:00:15.5Z: timeout while waiting after 27 attempts
=== NAME  TestConformance/MeshHTTPRouteMatching
    apply.go:279: 2026-11-30T12:00:15.413638834Z: Deleting mesh-matching HTTPRoute
=== RUN   TestConformance/MeshGRPCRouteWeight
=== RUN   TestConformance/MeshGRPCRouteWeight/Requests_should_match
    grpcroute-weight.go:76: 2026-11-30T11:57:48.408793896Z: distribution test failed: expected 2 backends
        but got 1
    grpcroute-weight.go:81: 2026-11-30T11:57:48.408793896Z: Weighted distribution tests failed
=== RUN   TestConformance/MeshPorts
    conformance.go:64: Skipping MeshPorts: suite does not support HTTPRouteParentRefPort
--- FAIL: TestConformance (56.80s)
    --- SKIP: TestConformance/GatewayModifyListeners (0.00s)
    --- PASS: TestConformance/MeshBasic (0.55s)
        --- PASS: TestConformance/MeshBasic/0_request_to_'/' (0.51s)
    --- FAIL: TestConformance/MeshHTTPRouteMatching (0.11s)
        --- PASS: TestConformance/MeshHTTPRouteMatching/0_request_to_'/' (11.82s)
        --- FAIL: TestConformance/MeshHTTPRouteMatching/1_request_to_'/v2' (30.00s)
    --- FAIL: TestConformance/MeshGRPCRouteWeight (5.20s)
        --- FAIL: TestConformance/MeshGRPCRouteWeight/Requests_should_match (5.11s)
    --- SKIP: TestConformance/MeshPorts (0.00s)
FAIL
"""


def level(passed: int, failed: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    counts = {"Passed": passed, "Failed": len(failed), "Skipped": 0}
    return (
        {"statistics": counts, "result": "success"} | ({"failedTests": list(failed)} if failed else {}) | more
    )


REPORT = {
    "kind": "ConformanceReport",
    "gatewayAPIVersion": "v1.6.3",
    "profiles": [
        {
            "name": "MESH-HTTP",
            "core": level(1, ("MeshHTTPRouteMatching",)),
            "extended": level(
                0, supportedFeatures=["MeshConsumerRoute"], unsupportedFeatures=["MeshClusterIPMatching"]
            ),
        },
        {"name": "MESH-GRPC", "core": level(1, ("MeshGRPCRouteWeight",))},
    ],
}


def read(tmp_path: Path, report: Any = REPORT, console: str = CONSOLE) -> gateway_results.Results:
    (tmp_path / "report.yaml").write_text(yaml.safe_dump(report))
    return gateway_results.read(tmp_path / "report.yaml", console, {"gateway_api": "1.6.3"})


def test_each_test_counts_once_and_has_its_reason(tmp_path: Path) -> None:
    found = read(tmp_path)
    data = found.as_dict()
    assert (data["passed"], data["failed"], data["skipped"]) == (1, 2, 1)
    assert data["failures"] == [
        {
            "test": "MeshHTTPRouteMatching",
            "reason": "1 request to '/v2': Response expectation failed: "
            "expected pod name to start with echo-v2, got echo-v1",
        },
        {
            "test": "MeshGRPCRouteWeight",
            "reason": "Requests should match: distribution test failed: expected 2 backends but got 1",
        },
    ]
    assert data["skips"] == [
        {"test": "MeshPorts", "reason": "Skipping MeshPorts: suite does not support HTTPRouteParentRefPort"}
    ]
    assert data["tests"] == {"MeshBasic": 0.55}
    assert data["profiles"]["MESH-GRPC"] == {
        "core": {"passed": 1, "failed": 1, "skipped": 0},
        "extended": None,
        "features": [],
        "missing": [],
    }
    assert data["profiles"]["MESH-HTTP"]["missing"] == ["MeshClusterIPMatching"]
    assert data["gateway_api"] == "1.6.3"
    assert not found.ok
    assert [test.seconds for test in found.tests] == [0.55, 30.0, 5.2, 0.0]


def test_a_person_reads_profiles_all_tests_and_failures(tmp_path: Path) -> None:
    lines = gateway_results.describe(read(tmp_path)).splitlines()
    assert lines[1].split() == ["MESH-GRPC", "core", "1", "1", "0"]
    assert lines[3].split() == ["MESH-HTTP", "extended", "0", "0", "0"]
    assert lines[4].split() == ["all", "tests", "1", "2", "1"]
    assert lines[5] == "not claimed: MeshClusterIPMatching"
    assert "failed: MeshHTTPRouteMatching" in lines


def test_the_report_decides_what_has_failed(tmp_path: Path) -> None:
    report = {"profiles": [{"name": "MESH-HTTP", "core": level(0, ("MeshBasic", "MeshUnheardOf"))}]}
    console = "--- FAIL: TestConformance (1.00s)\n    --- PASS: TestConformance/MeshBasic (0.10s)\n"
    found = read(tmp_path, report, console)
    assert [test.name for test in found.failures] == ["MeshBasic", "the suite itself", "MeshUnheardOf"]


def test_the_suite_that_could_not_begin(tmp_path: Path) -> None:
    console = (
        "=== RUN   TestConformance\n"
        "    suite.go:447: 2026-11-30T11:57:07.0Z: Test Setup: Applying base manifests\n"
        "    helpers.go:461: 2026-11-30T12:02:07.6Z: namespaces were not ready in time\n"
        "--- FAIL: TestConformance (300.00s)\n"
    )
    found = read(tmp_path, {"profiles": None}, console)
    (failure,) = found.failures
    assert failure.name == "the suite itself"
    assert failure.reason.endswith("namespaces were not ready in time")


def test_no_report(tmp_path: Path) -> None:
    console = "=== RUN   TestConformance\npanic: test timed out after 30m0s\n\ngoroutine 1 [running]:\n\tmain.go:1\n"
    with pytest.raises(LabsError, match=r"without a report: panic: test timed out after 30m0s$"):
        gateway_results.read(tmp_path / "none", console, {})
    (tmp_path / "bad").write_text("[1, 2]")
    with pytest.raises(LabsError, match=r"report cannot be read: TypeError"):
        gateway_results.read(tmp_path / "bad", console, {})


def test_all_passed(tmp_path: Path) -> None:
    console = "--- PASS: TestConformance (1.00s)\n    --- PASS: TestConformance/MeshBasic (0.10s)\n"
    found = read(tmp_path, {"profiles": [{"name": "MESH-HTTP", "core": level(1)}]}, console)
    assert found.ok
    assert not found.and_also(gateway_results.Test("StrictMutualTLS", "failed", "why")).ok


def test_the_counter_names_the_tests_of_the_mesh() -> None:
    shown: list[str] = []
    counter = gateway_results.Counter(shown.append)
    for line in CONSOLE.splitlines():
        counter.line(line)
    assert shown[:2] == ["test 1: MeshBasic", "test 2: MeshHTTPRouteMatching"]
    assert counter.begun == 4


def test_the_words_that_the_suite_gets() -> None:
    words = gateway.arguments(gateway.Choice((), "MeshBasic|MeshPorts"), SETTINGS, Path("/out/report.yaml"))
    assert words[0] == "-test.run=^TestConformance$/(MeshBasic|MeshPorts)"
    assert "-conformance-profiles=MESH-HTTP,MESH-GRPC" in words
    assert "-report-output=/out/report.yaml" in words
    assert "-cleanup-base-resources=false" in words
    assert f"-namespace-labels={names.INJECT}=true,labs.example/part-of=course" in words
    assert all(word.startswith("-") for word in words)
    only = gateway.arguments(gateway.Choice(("MESH-GRPC",)), SETTINGS, Path())
    assert "-conformance-profiles=MESH-GRPC" in only
    assert only[0] == "-test.run=^TestConformance$"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (gateway.Choice(("MESH-TCP",)), "no profile MESH-TCP"),
        (gateway.Choice((), "("), "no regular expression"),
        (gateway.Choice((), "A/B"), "no /"),
    ],
)
def test_what_is_wrong_with_the_choice(choice: gateway.Choice, message: str) -> None:
    with pytest.raises(LabsError, match=message):
        gateway.arguments(choice, SETTINGS, Path())


def test_the_suites_data_agree_with_the_rest() -> None:
    assert SETTINGS.echo in read_catalogue().images
    documents = kube.load(gateway.DIRECTORY / "strict.yaml")
    namespaces = {
        each["metadata"]["name"]: each["metadata"]["labels"]
        for each in documents
        if each["kind"] == "Namespace"
    }
    strict = [each for each in documents if each["kind"] == "PeerAuthentication"]
    assert {each["spec"]["mode"] for each in strict} == {"STRICT"}
    in_the_mesh = {name for name, labels in namespaces.items() if labels.get(names.INJECT) == "true"}
    assert (
        in_the_mesh
        == {each["metadata"]["namespace"] for each in strict}
        == set(namespaces) - {gateway.OUTSIDE[0]}
    )
    assert all(labels.items() <= SETTINGS.labels.items() for labels in namespaces.values())


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("curl: (56) Recv failure: Connection reset by peer\n000 status 56\n", "passed"),
        ("curl: (52) Empty reply from server\n000 status 52\n", "passed"),
        ("200 status 0\n", "failed"),
        ("503 status 0\n", "failed"),
        ("curl: (6) Could not resolve host\n000 status 6\n", "failed"),
        ("", "failed"),
    ],
)
def test_only_a_connection_that_was_taken_and_closed_is_a_refusal(
    said: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "execute", lambda *_, **__: said)
    assert gateway.plaintext_refused(None).state == state  # type: ignore[arg-type]


@pytest.fixture
def mesh(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to a cluster's mesh: "install", "uninstall"; a cluster on which there is none as yet."""
    done: list[str] = []
    monkeypatch.setattr(kube, "connect", lambda _: None)
    monkeypatch.setattr(gatewayapi, "ensure", lambda _: [])
    monkeypatch.setattr(status, "status", lambda _: SimpleNamespace(installed="there" in done))
    monkeypatch.setattr(install, "install", lambda *_, **__: done.append("install"))
    monkeypatch.setattr(uninstall, "uninstall", lambda *_, **__: done.append("uninstall"))
    return done


def test_a_mesh_that_was_not_there_goes_also_after_an_error(mesh: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt), gateway.our_mesh(Path()):
        raise KeyboardInterrupt
    assert mesh == ["install", "uninstall"]


def test_a_mesh_goes_with_its_cluster(mesh: list[str]) -> None:
    with gateway.our_mesh(Path(), leave=True):
        pass
    assert mesh == ["install"]


def test_a_mesh_that_is_there_is_tested_as_it_is(mesh: list[str]) -> None:
    mesh.append("there")
    with gateway.our_mesh(Path()):
        pass
    assert mesh == ["there"]


def test_half_a_mesh_goes_too(mesh: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise LabsError("not ready")

    monkeypatch.setattr(install, "install", fails)
    with pytest.raises(LabsError, match="not ready"), gateway.our_mesh(Path()):
        pass
    assert mesh == ["uninstall"]


def test_a_refusal_that_could_not_be_tried_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> str:
        raise LabsError("no such Pod")

    monkeypatch.setattr(execute, "execute", gone)
    found = gateway.plaintext_refused(None)  # type: ignore[arg-type]
    assert (found.state, found.reason) == ("failed", "could not be tried: no such Pod")
