"""What a member is told when it starts: /etc/quorum/config.json, the same for all members; and what all agree on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

PEER_PORT = 7400
API_PORT = 7401
SIGNER = "quorum.labs.example/member"  # signerName of members' CertificateSigningRequests


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Quorum as its members need to know it; times in seconds."""

    cluster: str  # uid of the Quorum object
    namespace: str
    name: str
    peer_port: int = PEER_PORT
    api_port: int = API_PORT
    listen: str = "0.0.0.0"  # noqa: S104 - in a Pod, whose address is known only when it runs
    tick: float = 0.03  # an election begins after 10 to 20 of them without a leader
    domain: str = "svc"
    # By Pod, where they are not what the Service's DNS says.
    addresses: Mapping[str, tuple[str, int]] = {}
    apis: Mapping[str, tuple[str, int]] = {}

    def peer(self, pod: str) -> tuple[str, int]:
        """Host and port of a member's protocol."""
        return self.addresses.get(pod) or (self.host(pod), self.peer_port)

    def api(self, pod: str) -> str:
        """The URL of a member's API."""
        host, port = self.apis.get(pod) or (self.host(pod), self.api_port)
        return f"https://{host}:{port}"

    def host(self, pod: str) -> str:
        """The name that the headless Service gives to a Pod (StatefulSet, stable network id)."""
        return f"{pod}.{self.name}-members.{self.namespace}.{self.domain}"


class BadConfig(ValueError):
    """The file is not what it should be; says where."""


def read(file: Path) -> Config:
    """The configuration in a JSON file. Raises BadConfig, OSError."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Config)
    except msgspec.MsgspecError as error:
        raise BadConfig(f"{file}: {error}") from error
