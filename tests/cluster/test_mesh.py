"""What the mesh is installed from."""

from __future__ import annotations

from labsupport.cluster import mesh


def test_manifests_are_read_with_the_namespace_first() -> None:
    kinds = [each["kind"] for each in mesh.documents()]
    assert kinds[0] == "Namespace"
    assert "MutatingWebhookConfiguration" in kinds
