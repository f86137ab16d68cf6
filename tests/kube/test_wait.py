"""Waiting, against an API server of a few lines: what is watched, what is taken up again, what is said at the end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from labsupport import kube
from labsupport.kube.wait import condition_is, gone, ready

Answer = tuple[int, Any]


class FakeApi:
    """Lists and watches of Pods, as the test scripts them; a watch is a list of lines, or None to hang up at once."""

    def __init__(self) -> None:
        self.pods: list[dict[str, Any]] = []
        self.watches: list[list[dict[str, Any]] | None] = []
        self.seen: list[dict[str, str]] = []
        self.lists = 0

    def answer(self, path: str, query: dict[str, str]) -> Answer | Iterator[bytes]:
        if path == "/api/v1":
            kinds = (("pods", "Pod"), ("events", "Event"))
            return 200, {
                "resources": [{"name": name, "kind": kind, "namespaced": True} for name, kind in kinds]
            }
        if path.endswith("/events"):
            return 200, {
                "items": [
                    {
                        "metadata": {"creationTimestamp": "t"},
                        "type": "Warning",
                        "reason": "Tired",
                        "message": "needs sleep",
                    }
                ],
                "metadata": {},
            }
        if "watch" in query:
            self.seen.append(query)
            return self._watch(self.watches.pop(0) if self.watches else [])
        self.lists += 1
        return 200, {"items": self.pods, "metadata": {"resourceVersion": "10"}}

    def _watch(self, lines: list[dict[str, Any]] | None) -> Iterator[bytes]:
        for line in lines or []:
            yield json.dumps(line).encode() + b"\n"
        if lines == []:
            time.sleep(0.3)


def kubeconfig(directory: Path, port: int) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[tuple[FakeApi, Any]]:
    state = FakeApi()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            answer = state.answer(parts.path, query)
            if isinstance(answer, tuple):
                body = json.dumps(answer[1]).encode()
                self.send_response(answer[0])
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            self.send_response(200)
            self.end_headers()
            for line in answer:
                self.wfile.write(line)
                self.wfile.flush()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state, kube.connect(kubeconfig(tmp_path, server.server_port))
    server.shutdown()
    server.server_close()
    thread.join()


def pod(is_ready: bool, version: str = "11", **status: Any) -> dict[str, Any]:
    condition = {"type": "Ready", "status": "True" if is_ready else "False"}
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": version},
        "spec": {},
        "status": {"conditions": [condition], **status},
    }


TARGET = kube.Target("v1", "Pod", "p", "n")


def test_a_change_is_seen_by_the_watch_that_goes_on_from_the_list(fake: tuple[FakeApi, Any]) -> None:
    state, api = fake
    state.pods = [pod(False)]
    state.watches = [[{"type": "MODIFIED", "object": pod(True)}]]
    said: list[str] = []
    found = kube.until(api, TARGET, ready, timeout=5, progress=said.append)
    assert found[0]["status"]["conditions"][0]["status"] == "True"
    assert state.seen[0]["resourceVersion"] == "10"
    assert state.seen[0]["fieldSelector"] == "metadata.name=p"
    assert said == ["Ready is False"]


def test_an_expired_watch_lists_again(fake: tuple[FakeApi, Any]) -> None:
    state, api = fake
    state.watches = [[{"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}]]

    def met(objects: list[Any]) -> kube.Seen:
        return kube.Seen(state.lists == 2, "not yet")

    kube.until(api, TARGET, met, timeout=5)
    assert state.lists == 2


def test_a_broken_watch_goes_on_from_the_last_version_without_listing(fake: tuple[FakeApi, Any]) -> None:
    state, api = fake
    state.pods = [pod(False)]
    state.watches = [
        [{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "42"}}}],
        [{"type": "MODIFIED", "object": pod(True, "43")}],
    ]
    kube.until(api, TARGET, ready, timeout=5)
    assert state.seen[1]["resourceVersion"] == "42"
    assert state.lists == 1


def test_a_deleted_object_is_gone(fake: tuple[FakeApi, Any]) -> None:
    state, api = fake
    state.pods = [pod(True)]
    state.watches = [[{"type": "DELETED", "object": pod(True)}]]
    assert kube.until(api, TARGET, gone, timeout=5) == []


def test_in_vain_it_says_what_was_seen_and_why(fake: tuple[FakeApi, Any]) -> None:
    state, api = fake
    waiting = {"name": "c", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
    state.pods = [pod(False, containerStatuses=[waiting])]
    began = time.monotonic()
    with pytest.raises(kube.wait.TimedOut) as caught:
        kube.until(api, TARGET, ready, timeout=0.5)
    assert time.monotonic() - began < 3
    text = str(caught.value)
    assert "Pod p in n" in text
    assert "Ready is False" in text
    assert "container c waits: ErrImagePull: no such image" in text
    assert "event Tired: needs sleep" in text


def test_what_cannot_come_any_more_is_said_at_once(fake: tuple[FakeApi, Any]) -> None:
    state, api = fake
    state.pods = [pod(False, phase="Failed")]
    began = time.monotonic()
    with pytest.raises(kube.wait.TimedOut, match="cannot become ready"):
        kube.until(api, TARGET, ready, timeout=30)
    assert time.monotonic() - began < 5


def test_no_api_server_is_waited_for_and_then_named(tmp_path: Path) -> None:
    api = kube.connect(kubeconfig(tmp_path, 1))  # nobody listens on port 1
    with pytest.raises(kube.wait.TimedOut, match="does not answer"):
        kube.until(api, TARGET, ready, timeout=0.5)


def deployment(**status: int) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"name": "d", "generation": 2},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 2, **status},
    }


@pytest.mark.parametrize(
    ("status", "done", "words"),
    [
        ({"observedGeneration": 1, "readyReplicas": 2, "updatedReplicas": 2}, False, "newest spec"),
        ({"readyReplicas": 1, "updatedReplicas": 2, "replicas": 2}, False, "1 of 2"),
        ({"readyReplicas": 3, "updatedReplicas": 2, "replicas": 3}, False, "1 Pods of an older version"),
        ({"readyReplicas": 2, "updatedReplicas": 2, "replicas": 2}, True, "2 of 2"),
    ],
)
def test_a_deployment_is_judged_by_settled_state(status: dict[str, int], done: bool, words: str) -> None:
    seen = ready([deployment(**status)])
    assert (seen.done, words in seen.text) == (done, True), seen


def test_an_object_that_does_not_exist_is_not_ready() -> None:
    judge: list[Callable[[list[Any]], kube.Seen]] = [ready, condition_is("Ready")]
    assert not any(condition([]).done for condition in judge)
