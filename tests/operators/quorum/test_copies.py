"""Back-ups and restores: one Job for each object, whatever happens to the operator."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.operators.quorum_operator import copies, kinds
from labsupport.operators.quorum_operator.kinds import Kind
from tests.operators.quorum.fakes import NAMESPACE, Crash, FakeApi, Writes, quorum

AVAILABLE = {"conditions": [{"type": "Available", "status": "True"}]}


def world(kind: Kind = kinds.BACKUPS, **spec: Any) -> FakeApi:
    api = FakeApi(Writes())
    api.put(kinds.QUORUMS, NAMESPACE, quorum(backup={"claimName": "archive"}) | {"status": AVAILABLE})
    wanted = {
        "quorum": "q",
        **({} if kind is kinds.BACKUPS else {"claimName": "archive", "backup": "b"}),
        **spec,
    }
    api.put(kind, NAMESPACE, {"metadata": {"name": "b"}, "spec": wanted})
    return api


def step(api: FakeApi, kind: Kind = kinds.BACKUPS) -> str:
    (found,) = api.of(kind)
    try:
        return copies.reconcile(api, kind, found)
    except Crash:
        return "crashed"


def end(api: FakeApi, how: str) -> None:
    api.of(kinds.JOBS)[0]["status"] = {
        "conditions": [{"type": how, "status": "True", "reason": "R", "message": "m"}]
    }


@pytest.mark.parametrize("kind", [kinds.BACKUPS, kinds.RESTORES], ids=lambda kind: kind.kind)
@pytest.mark.parametrize("after", range(1, 5))
def test_one_job_whichever_write_is_the_last(kind: Kind, after: int) -> None:
    api = world(kind)
    api.writes.crash_after = after
    for _ in range(3):
        step(api, kind)
    assert len(api.of(kinds.JOBS)) == 1
    end(api, "Complete")
    for _ in range(3):
        step(api, kind)
    (found,) = api.of(kind)
    assert found["status"]["phase"] == copies.COMPLETED
    assert [each for each in api.writes.log if each.startswith("create Job")] == [
        f"create Job b-{'backup' if kind is kinds.BACKUPS else 'restore'}"
    ]


def test_what_it_runs() -> None:
    api = world(kinds.RESTORES)
    step(api, kinds.RESTORES)
    pod = api.of(kinds.JOBS)[0]["spec"]["template"]["spec"]
    words = pod["containers"][0]["args"]
    assert words == ["restore", "--members", "7", "--directory", "/backup", "--name", "b"]
    assert {"name": "backup", "persistentVolumeClaim": {"claimName": "archive"}} in pod["volumes"]
    assert pod["automountServiceAccountToken"] is False


def test_a_job_that_failed_is_told() -> None:
    api = world()
    step(api)
    end(api, "Failed")
    assert step(api) == copies.FAILED
    assert "R: m" in api.of(kinds.BACKUPS)[0]["status"]["message"]


def test_it_waits_for_its_quorum() -> None:
    api = world(quorum="other")
    assert step(api) == copies.WAITING
    assert "no Quorum other" in api.of(kinds.BACKUPS)[0]["status"]["message"]
    api = world()
    api.of(kinds.QUORUMS)[0]["status"] = {}
    assert step(api) == copies.WAITING
    assert not api.of(kinds.JOBS)


def test_without_a_volume_it_fails_and_says_so() -> None:
    api = world()
    del api.of(kinds.QUORUMS)[0]["spec"]["backup"]
    assert step(api) == copies.FAILED


def test_a_job_of_somebody_else_is_not_taken_for_its_own() -> None:
    api = world()
    api.put(kinds.JOBS, NAMESPACE, {"metadata": {"name": "b-backup"}, "status": {}})
    assert step(api) == copies.FAILED
