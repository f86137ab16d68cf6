"""Manifests as learners write them, and the words for what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.kube.client import _is_loopback
from labsupport.kube.objects import Resource, parse


def test_documents_keep_their_order_and_empty_ones_are_left_out() -> None:
    objects = parse("apiVersion: v1\nkind: A\n---\n---\n# only a comment\n---\napiVersion: v1\nkind: B\n")
    assert [each["kind"] for each in objects] == ["A", "B"]


def test_a_list_becomes_its_items() -> None:
    assert parse("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: A}]") == [
        {"apiVersion": "v1", "kind": "A"}
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not YAML"),
        ("just words", "Document 1 has no apiVersion and kind"),
        ("apiVersion: v1\nkind: A\n---\nkind: B", "Document 2"),
        ("apiVersion: 1\nkind: A", "Document 1"),
    ],
)
def test_what_is_no_manifest_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(LabsError, match=words):
        parse(text)


def test_load_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("a: [")
    with pytest.raises(LabsError, match=r"bad\.yaml"):
        kube.load(path)


@pytest.mark.parametrize(
    ("served", "place", "name", "path"),
    [
        (Resource("v1", "pods", True), "n", "p", "/api/v1/namespaces/n/pods/p"),
        (Resource("v1", "pods", True), "", "", "/api/v1/pods"),
        (Resource("v1", "namespaces", False), "ignored", "n", "/api/v1/namespaces/n"),
        (Resource("apps/v1", "deployments", True), "n", "", "/apis/apps/v1/namespaces/n/deployments"),
    ],
)
def test_paths(served: Resource, place: str, name: str, path: str) -> None:
    assert served.path(place, name) == path


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://127.0.0.1:6443", True),
        ("https://localhost:1", True),
        ("https://[::1]:1", True),
        ("https://10.0.0.1", False),
        ("https://cluster.example", False),
    ],
)
def test_loopback_is_told_from_the_rest(url: str, expected: bool) -> None:
    assert _is_loopback(url) is expected


def test_a_missing_kubeconfig_names_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(LabsError, match="no kubeconfig") as caught:
        kube.connect(tmp_path / "none")
    assert caught.value.fix == "labs up"


def test_a_proxy_of_the_environment_is_not_asked_for_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    path = tmp_path / "kubeconfig"
    path.write_text(
        "{apiVersion: v1, kind: Config, current-context: x, clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}],"
        " users: [{name: u, user: {token: t}}], contexts: [{name: x, context: {cluster: c, user: u}}]}"
    )
    assert kube.connect(path).configuration.proxy is None
