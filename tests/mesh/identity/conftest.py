"""As much of an API server as identity asks: TokenReviews, Pods, Secrets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from labsupport import kube
from labsupport.mesh.identity import ca

NOW = datetime(2030, 5, 1, 12, 0, tzinfo=UTC)


class Cluster:
    """Answers `kube.request`. `tokens` by their text: the status of their review."""

    def __init__(self) -> None:
        self.tokens: dict[str, dict[str, Any]] = {}
        self.pods: dict[tuple[str, str], dict[str, Any]] = {}
        self.secrets: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.race: dict[str, Any] | None = None  # what somebody else creates just before we do

    def pod(
        self,
        token: str,
        namespace: str = "shop",
        account: str = "orders",
        name: str = "orders-1",
        uid: str = "u-1",
    ) -> None:
        """A Pod, and a token that is bound to it."""
        self.pods[namespace, name] = {
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "spec": {"serviceAccountName": account},
            "status": {"phase": "Running"},
        }
        self.tokens[token] = {
            "authenticated": True,
            "audiences": ["mesh.labs.example"],
            "user": {
                "username": f"system:serviceaccount:{namespace}:{account}",
                "extra": {
                    "authentication.kubernetes.io/pod-name": [name],
                    "authentication.kubernetes.io/pod-uid": [uid],
                },
            },
        }

    def request(self, api: Any, method: str, path: str, *, body: Any = None, **other: Any) -> Any:
        self.asked.append((method, path))
        parts = path.split("/")
        if path.endswith("/tokenreviews"):
            assert body["spec"]["audiences"] == ["mesh.labs.example"]
            return {"status": self.tokens.get(body["spec"]["token"], {"error": "invalid bearer token"})}
        if parts[-2] == "pods" and (parts[-3], parts[-1]) in self.pods:
            return self.pods[parts[-3], parts[-1]]
        if method == "POST" and parts[-1] == "secrets":
            if self.race:
                self.secrets["mesh-ca"], self.race = self.race, None
            if "mesh-ca" in self.secrets:
                raise kube.Refused(409, "AlreadyExists", "there is one")
            self.secrets["mesh-ca"] = body
            return body
        if parts[-2] == "secrets" and parts[-1] in self.secrets:
            if method == "PUT":
                self.secrets[parts[-1]] = body
            return self.secrets[parts[-1]]
        raise kube.Refused(404, "NotFound", f"{path} not found")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(kube, "request", made.request)
    return made


@pytest.fixture
def authority() -> ca.Authority:
    return ca.Authority(ca.new_root("root-1", NOW))


@pytest.fixture
def now() -> datetime:
    return NOW
