"""What the sidecar is told, by environment variables that injection sets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labsupport.mesh import names

Probes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Settings:
    """One Pod's sidecar. `capture` is one of names.CAPTURES; `probes` are the original probes by "CONTAINER/KIND"."""

    pod: str
    namespace: str
    uid: str
    ip: str
    service_account: str
    control: str = f"{names.CONTROL}.{names.SYSTEM}.svc"
    capture: str = names.CAPTURES[0]
    probes: Probes = field(default_factory=dict)
    state: str = names.STATE
    token_file: str = names.TOKEN_FILE
    roots_file: str = f"{names.TRUST_DIRECTORY}/{names.ROOTS}"
    envoy: str = "/usr/local/bin/envoy"
    https_port: int = names.HTTPS
    ads_port: int = names.ADS
    admin_port: int = names.ADMIN
    probes_port: int = names.PROBES
    health_port: int = names.HEALTH
    metrics_port: int = names.METRICS

    @property
    def uri(self) -> str:
        """The SPIFFE ID that this Pod asks for."""
        return names.spiffe_id(self.namespace, self.service_account)

    @property
    def mark(self) -> int | None:
        """SO_MARK of connections to the control plane. Where nothing is captured there is no right to set one."""
        return names.MARK_OUT if self.capture == names.CAPTURES[0] else None

    @property
    def identity_file(self) -> str:
        """The SDS file with this Pod's key and certificate."""
        return f"{self.state}/{names.IDENTITY_FILE.rpartition('/')[2]}"

    @property
    def control_trust_file(self) -> str:
        """The SDS file with what the control plane is checked by."""
        return f"{self.state}/{names.CONTROL_TRUST_FILE.rpartition('/')[2]}"


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings in `environment`. Errors: ValueError names what is missing or is not what it should be."""
    wanted = ("POD_NAME", "POD_NAMESPACE", "POD_UID", "POD_IP", "SERVICE_ACCOUNT")
    missing = [name for name in wanted if not environment.get(name)]
    if missing:
        raise ValueError(f"These environment variables are not set: {', '.join(missing)}")
    capture = environment.get("MESH_CAPTURE") or names.CAPTURES[0]
    if capture not in (*names.CAPTURES, names.GATEWAY_PROXY):
        raise ValueError(f"MESH_CAPTURE is {capture!r}, not one of {', '.join(names.CAPTURES)}")
    try:
        probes = json.loads(environment.get("MESH_PROBES") or "{}")
    except ValueError as error:
        raise ValueError(f"MESH_PROBES is not JSON: {error}") from error
    if not isinstance(probes, dict):
        raise ValueError("MESH_PROBES is no JSON object")
    pod, namespace, uid, ip, account = (environment[name] for name in wanted)
    control = environment.get("MESH_CONTROL") or Settings.control
    return Settings(pod, namespace, uid, ip, account, control, capture, probes)
