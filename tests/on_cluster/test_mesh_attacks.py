"""Attacks on identities, from a Pod that is in the mesh itself; each is judged by what the server saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .conftest import Mesh
from .test_mesh_inject import pod, put, ready

Kubectl = Callable[..., Any]
SPACE = "mesh-attacks"
# What the thief runs: in its own sidecar's container, where its token, key and certificate are.
ASK = """
import dataclasses, json, os, sys
from labsupport.mesh.proxy import certificate, settings
mine = settings.from_environment(os.environ)
roots = open(mine.roots_file).read()
made = certificate.key_and_request
def forged(uri):
    key, csr = made(os.environ.get("URI") or uri)
    print(csr, file=open("/var/run/mesh/last.csr", "w"))
    return (key, open(os.environ["CSR"]).read()) if os.environ.get("CSR") else (key, csr)
certificate.key_and_request = forged
if token := os.environ.get("TOKEN"):
    open("/var/run/mesh/stolen", "w").write(token)
    mine = dataclasses.replace(mine, token_file="/var/run/mesh/stolen")
try:
    given = certificate.ask(mine, roots)
    print("GIVEN", given.chain)
except certificate.NotGiven as error:
    print("REFUSED", error)
"""
XDS = """
import json, os, sys
sys.path.insert(0, "/opt/labs/site")
import grpc
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
secret = json.load(open("/var/run/mesh/identity.json"))["resources"][0]["tls_certificate"]
chain, key = (secret[name]["inline_string"].encode() for name in ("certificate_chain", "private_key"))
roots = open("/etc/mesh/trust/roots.pem", "rb").read()
shown = (key, chain) if os.environ["NODE"] != "nobody" else (None, None)
credentials = grpc.ssl_channel_credentials(roots, *shown)
# By its Pod's address: its Service's would lead through this Pod's own proxy.
target = os.environ["CONTROL"] + ":15010"
name = (("grpc.ssl_target_name_override", "mesh-control.labs-system.svc"),)
stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(grpc.secure_channel(target, credentials, options=name))
request = discovery_pb2.DeltaDiscoveryRequest(type_url="type.googleapis.com/envoy.config.listener.v3.Listener")
request.node.id = os.environ["NODE"]
def requests():
    yield request
    import threading
    threading.Event().wait(10)
try:
    for response in stub.DeltaAggregatedResources(requests(), timeout=8):
        print("GIVEN", " ".join(each.name for each in response.resources))
        break
except grpc.RpcError as error:
    print("REFUSED", error.code().name, error.details())
"""


@pytest.fixture(scope="module")
def space(kubectl: Kubectl, mesh: Mesh) -> Iterator[str]:
    kubectl("create", "namespace", SPACE)
    kubectl("label", "namespace", SPACE, "mesh.labs.example/inject=true")
    for name in ("thief", "victim"):
        kubectl("-n", SPACE, "create", "serviceaccount", name)
    echo = {"image": "labs.example/echo:1", "args": ["--port=8080"]}
    put(kubectl, pod("victim", container=echo, serviceAccountName="victim"), namespace=SPACE)
    put(kubectl, pod("thief", container=echo, serviceAccountName="thief"), namespace=SPACE)
    kubectl("-n", SPACE, "expose", "pod", "victim", "--port=80", "--target-port=8080", "--name=victim")
    kubectl("-n", SPACE, "patch", "service", "victim", "--type=json", "-p",
            '[{"op": "add", "path": "/spec/ports/0/appProtocol", "value": "http"}]')  # fmt: skip
    ready(kubectl, "victim", "thief", namespace=SPACE)
    yield SPACE
    kubectl("delete", "namespace", SPACE)


def run(kubectl: Kubectl, who: str, program: str, **environment: str) -> str:
    """What a program in the sidecar of a Pod prints."""
    words = [f"{name}={value}" for name, value in environment.items()]
    command = ["env", *words, "python3", "-c", program]
    done = kubectl("-n", SPACE, "exec", who, "-c", "mesh-proxy", "--", *command, check=False, timeout=60)
    return str(done.stdout) + str(done.stderr)


def log(kubectl: Kubectl) -> str:
    """What the control plane saw."""
    return str(kubectl("-n", "labs-system", "logs", "deploy/mesh-control", "--tail=40").stdout)


def token(kubectl: Kubectl, account: str, *words: str, audience: str = "mesh.labs.example") -> str:
    made = kubectl("-n", SPACE, "create", "token", account, f"--audience={audience}", *words)
    return str(made.stdout).strip()


def test_its_own_certificate_is_given(kubectl: Kubectl, space: str) -> None:
    assert run(kubectl, "thief", ASK).startswith("GIVEN")


def test_a_forged_id_is_refused(kubectl: Kubectl, space: str) -> None:
    said = run(kubectl, "thief", ASK, URI=f"spiffe://labs.example/ns/{SPACE}/sa/victim")
    assert said.startswith("REFUSED"), said
    assert f"the token is that of spiffe://labs.example/ns/{SPACE}/sa/thief" in log(kubectl)


def test_a_token_that_is_bound_to_no_pod_is_refused(kubectl: Kubectl, space: str) -> None:
    said = run(kubectl, "thief", ASK, TOKEN=token(kubectl, "victim"))
    assert said.startswith("REFUSED"), said
    assert f"The token of {SPACE}/victim is bound to no Pod" in log(kubectl)


def test_another_pods_own_token_is_refused(kubectl: Kubectl, space: str) -> None:
    stolen = kubectl(
        "-n", SPACE, "exec", "victim", "-c", "mesh-proxy", "--", "cat", "/var/run/secrets/mesh/token"
    )
    uri = f"spiffe://labs.example/ns/{SPACE}/sa/victim"
    said = run(kubectl, "thief", ASK, TOKEN=stolen.stdout.strip(), URI=uri)
    assert said.startswith("REFUSED"), said
    address = kubectl("-n", SPACE, "get", "pod", "thief", "-o", "jsonpath={.status.podIP}").stdout
    assert f"The token of Pod {SPACE}/victim was shown from {address}" in log(kubectl)


def test_a_token_for_another_audience_is_refused(kubectl: Kubectl, space: str) -> None:
    bound = ("--bound-object-kind=Pod", "--bound-object-name=thief")
    said = run(kubectl, "thief", ASK, TOKEN=token(kubectl, "thief", *bound, audience="elsewhere.example"))
    assert said.startswith("REFUSED"), said
    assert "401" in said
    assert "no certificate: 401" in log(kubectl)


def test_a_replayed_request_is_refused(kubectl: Kubectl, space: str) -> None:
    assert run(kubectl, "victim", ASK).startswith("GIVEN")
    csr = kubectl(
        "-n", SPACE, "exec", "victim", "-c", "mesh-proxy", "--", "cat", "/var/run/mesh/last.csr"
    ).stdout
    kubectl(
        "-n",
        SPACE,
        "exec",
        "-i",
        "thief",
        "-c",
        "mesh-proxy",
        "--",
        "sh",
        "-c",
        "cat > /var/run/mesh/theirs.csr",
        input=csr,
    )
    said = run(kubectl, "thief", ASK, CSR="/var/run/mesh/theirs.csr")
    assert said.startswith("REFUSED"), said
    assert f"The request is for spiffe://labs.example/ns/{SPACE}/sa/victim" in log(kubectl)


@pytest.fixture
def control(kubectl: Kubectl) -> str:
    """The address of the control plane's Pod."""
    words = ("-l", "mesh.labs.example/part=control", "--field-selector=status.phase=Running")
    return str(
        kubectl("-n", "labs-system", "get", "pods", *words, "-o", "jsonpath={.items[0].status.podIP}").stdout
    )


def test_anothers_configuration_is_refused(kubectl: Kubectl, space: str, control: str) -> None:
    assert "GIVEN" in run(kubectl, "thief", XDS, NODE=f"{SPACE}/thief", CONTROL=control)
    said = run(kubectl, "thief", XDS, NODE=f"{SPACE}/victim", CONTROL=control)
    assert "REFUSED PERMISSION_DENIED" in said, said
    assert f"issued for the Pod {SPACE}/thief, the request asks for {SPACE}/victim" in log(kubectl)


def test_without_a_certificate_there_is_no_configuration(kubectl: Kubectl, space: str, control: str) -> None:
    said = run(kubectl, "thief", XDS, NODE="nobody", CONTROL=control)
    assert "REFUSED UNAVAILABLE" in said, said


def seen_by_the_victim(
    kubectl: Kubectl, who: str, *words: str, namespace: str = SPACE
) -> dict[str, list[str]]:
    """The headers of a request as the victim's server saw them."""
    command = ["curl", "-s", *words, f"http://victim.{SPACE}/"]
    said = kubectl("-n", namespace, "exec", who, "--", *command).stdout
    found: dict[str, list[str]] = {}
    for line in said.splitlines():
        if line.startswith("RequestHeader="):
            name, _, value = line.removeprefix("RequestHeader=").partition(":")
            found.setdefault(name.lower(), []).append(value)
    return found


FORGED = f"x-forwarded-client-cert: URI=spiffe://labs.example/ns/{SPACE}/sa/victim"


def test_a_header_that_claims_an_identity_is_replaced(kubectl: Kubectl, space: str) -> None:
    (said,) = seen_by_the_victim(kubectl, "thief", "-H", FORGED)["x-forwarded-client-cert"]
    assert f"URI=spiffe://labs.example/ns/{SPACE}/sa/thief" in said
    assert "sa/victim" not in said.partition("URI=")[2]


def test_a_header_that_claims_an_identity_is_taken_from_plaintext(kubectl: Kubectl, space: str) -> None:
    annotations = {"mesh.labs.example/inject": "false"}
    outside = pod(
        "outside",
        annotations=annotations,
        container={"image": "labs.example/shell:1", "command": ["sleep", "600"]},
    )
    put(kubectl, outside, namespace=SPACE)
    ready(kubectl, "outside", namespace=SPACE)
    found = seen_by_the_victim(kubectl, "outside", "-H", FORGED)
    assert found["host"] == [f"victim.{SPACE}"]
    assert "x-forwarded-client-cert" not in found


def test_the_log_names_no_token(kubectl: Kubectl, space: str) -> None:
    assert "eyJ" not in log(kubectl)  # how every token begins
