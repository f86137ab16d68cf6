"""The ConfigMap that Pods know the control plane by."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport import kube
from labsupport.mesh.identity import trust


def test_it_is_applied_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    applied: list[Any] = []
    monkeypatch.setattr(kube, "apply", lambda api, documents, **other: applied.extend([*documents, other]))
    trust.ensure(None, "shop", "PEM")
    assert applied == [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "mesh-trust",
                "namespace": "shop",
                "labels": {"labs.example/part-of": "course"},
            },
            "data": {"roots.pem": "PEM"},
        },
        {"field_manager": "mesh-control"},
    ]


@pytest.mark.parametrize(("status", "harmless"), [(404, True), (403, False)])
def test_that_there_is_none_is_no_error(monkeypatch: pytest.MonkeyPatch, status: int, harmless: bool) -> None:
    def request(api: Any, method: str, path: str) -> Any:
        assert (method, path) == ("DELETE", "/api/v1/namespaces/shop/configmaps/mesh-trust")
        raise kube.Refused(status, "", "no")

    monkeypatch.setattr(kube, "request", request)
    if harmless:
        trust.remove(None, "shop")
    else:
        with pytest.raises(kube.Refused):
            trust.remove(None, "shop")
