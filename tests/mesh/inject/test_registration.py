"""caBundle of the webhook's configuration, and the revision of what is injected."""

from __future__ import annotations

import base64
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.mesh.inject import registration, revision

API: Any = object()


class Configuration:
    """Stands for the API and holds one configuration."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bundle: str | None = ""
        self.applied: list[dict[str, Any]] = []
        monkeypatch.setattr(kube, "get", self.get)
        monkeypatch.setattr(kube, "apply", self.apply)

    def get(self, *_: Any) -> dict[str, Any] | None:
        if self.bundle is None:
            return None
        return {"webhooks": [{"name": "inject", "clientConfig": {"caBundle": self.bundle}}]}

    def apply(self, api: Any, documents: list[dict[str, Any]], *, field_manager: str) -> None:
        assert field_manager == "mesh-control"
        self.applied += documents
        self.bundle = documents[0]["webhooks"][0]["clientConfig"]["caBundle"]


@pytest.fixture
def configuration(monkeypatch: pytest.MonkeyPatch) -> Configuration:
    return Configuration(monkeypatch)


def test_the_roots_are_written_once(configuration: Configuration) -> None:
    assert registration.register(API, "PEM")
    assert base64.b64decode(configuration.bundle or "") == b"PEM"
    assert configuration.applied[0]["webhooks"] == [
        {"name": "inject", "clientConfig": {"caBundle": configuration.bundle}}
    ]
    assert not registration.register(API, "PEM")
    assert len(configuration.applied) == 1


def test_without_a_configuration_there_is_nothing_to_do(configuration: Configuration) -> None:
    configuration.bundle = None
    assert not registration.register(API, "PEM")
    assert configuration.applied == []


def test_changes_and_other_peoples_changes_are_followed(configuration: Configuration) -> None:
    roots, told, stop = ["a"], [], threading.Event()
    registered = threading.Semaphore(0)

    def report(text: str) -> None:
        told.append(text)
        registered.release()

    following = registration.Registration(API, lambda: roots[0], report)
    thread = threading.Thread(target=following.run, args=(stop, 0.02))
    thread.start()
    try:
        assert registered.acquire(timeout=5)
        roots[0] = "b"
        following.changed()
        assert registered.acquire(timeout=5)
        configuration.bundle = ""  # as somebody's `kubectl replace` would leave it
        assert registered.acquire(timeout=5)
    finally:
        stop.set()
        following.changed()
        thread.join(5)
    assert base64.b64decode(configuration.bundle) == b"b"


def test_an_api_that_is_away_is_told_and_tried_again(
    configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, told = threading.Event(), []

    def away(*_: Any) -> None:
        if len(told) == 2:
            stop.set()
        raise LabsError("no API server")

    monkeypatch.setattr(kube, "get", away)
    registration.Registration(API, lambda: "a", told.append).run(stop, 0.001)
    assert len(told) == 3
    assert "no API server" in told[0]


def test_the_revision_is_that_of_the_sidecars_code(tmp_path: Path) -> None:
    here = revision.revision()
    assert len(here) == 12
    copied = tmp_path / "mesh"
    shutil.copytree(revision.HERE, copied)
    assert revision.revision(copied) == here
    (copied / "README.md").write_text("changed")
    assert revision.revision(copied) == here
    with (copied / "inject/containers.py").open("a") as file:
        file.write("# changed\n")
    assert revision.revision(copied) != here
