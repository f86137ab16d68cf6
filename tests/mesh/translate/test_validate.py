"""Each kind of configuration that there is, shown to the real Envoy: it takes all of it, and calls none deprecated."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from labsupport.mesh import names
from labsupport.mesh.translate import envoy, inbound, parts
from tests.mesh import samples
from tests.mesh.translate.test_golden import CASES

Json = dict[str, Any]


def static(cases: list[str]) -> Json:
    """One configuration with all resources of these cases, each under a name of its own."""
    listeners: list[Json] = []
    clusters: list[Json] = [each.body for each in inbound.clusters()]  # inline routes name these
    ports = itertools.count(1)
    for case in cases:
        part, objects = CASES[case]
        for each in parts.translate(samples.model(*objects), part):
            body = json.loads(json.dumps(each.body))
            if each.key.type_url == envoy.LISTENER:
                own = {"address": envoy.address("127.0.0.1", next(ports)), "bind_to_port": False}
                listeners.append({**body, **own, "name": f"{case} {body['name']}"})
            elif each.key.type_url == envoy.CLUSTER and not body["name"].startswith("inbound"):
                clusters.append({**body, "name": f"{case} {body['name']}"})
            elif each.key.type_url == envoy.ROUTES:
                manager = envoy.http("routes", routes={**body, "validate_clusters": False})
                chain = {"filters": [manager]}
                place = envoy.address("127.0.0.1", next(ports))
                listeners.append({
                    "name": f"{case} {body['name']}", "address": place, "filter_chains": [chain], "bind_to_port": False
                })  # fmt: skip
    xds = {
        "name": "xds",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "xds"},
        "typed_extension_protocol_options": envoy.HTTP2,
    }
    service = {"envoy_grpc": {"cluster_name": "xds"}}
    return {
        "node": {"id": "n", "cluster": "c"},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": [service]
            }
        },
        "static_resources": {"listeners": listeners, "clusters": [xds, *clusters]},
    }  # fmt: skip


# Together, since a start of Envoy takes longer than to look at all of this.
GROUPS = sorted({case.partition("-")[0] for case in CASES} - {"trust"})


@pytest.mark.parametrize("group", GROUPS)
def test_envoy_takes_it(group: str, envoy_program: Path, certificates: Path, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.partition("-")[0] == group]
    text = json.dumps(static(cases)).replace(names.STATE, str(tmp_path))
    # Roots from a file: what waits for ADS in this mode, and is no EDS cluster, makes Envoy 1.40 fall over (SIGSEGV).
    in_file = {"path_config_source": {"path": f"{tmp_path}/trust.json"}, "resource_api_version": "V3"}
    text = text.replace(f'"sds_config": {json.dumps(envoy.ADS)}', f'"sds_config": {json.dumps(in_file)}')
    trust = {"trusted_ca": {"filename": f"{certificates}/root.pem"}}
    roots = {"@type": envoy.SECRET, "name": names.TRUST, "validation_context": trust}
    (tmp_path / "trust.json").write_text(json.dumps({"resources": [roots]}))
    pair = {
        "certificate_chain": {"filename": f"{certificates}/chain.pem"},
        "private_key": {"filename": f"{certificates}/key.pem"},
    }
    secret = {"@type": envoy.SECRET, "name": names.IDENTITY, "tls_certificate": pair}
    (tmp_path / "identity.json").write_text(json.dumps({"resources": [secret]}))
    (tmp_path / "envoy.json").write_text(text)
    command = [envoy_program, "--mode", "validate", "-c", tmp_path / "envoy.json", "-l", "warning"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "is deprecated" not in done.stderr
