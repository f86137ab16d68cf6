"""An operator that dies after its k-th write, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from labsupport.operators.quorum_operator import mortality
from labsupport.operators.quorum_operator.kubeapi import KubeApi, NotLeading


def test_it_dies_after_the_kth_write_and_the_next_one_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(mortality.VARIABLE, "3")
    mark, deaths = tmp_path / "died", []
    for _ in range(2):
        written = mortality.from_environment(mark, lambda: deaths.append(1))
        for _ in range(10):
            written("x")
    assert deaths == [1]
    assert mark.exists()


@pytest.mark.parametrize("value", ["", "0", "x", "-1"])
def test_without_a_number_it_lives(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(mortality.VARIABLE, value)
    mortality.from_environment(tmp_path / "died", lambda: pytest.fail("died"))("x")


def test_events_do_not_count_and_nothing_is_written_without_the_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from labsupport.operators.quorum_operator import kinds, kubeapi

    sent: list[str] = []
    monkeypatch.setattr(
        kubeapi.kube, "request", lambda api, method, path, **_: sent.append(f"{method} {path}")
    )
    heard: list[str] = []
    api = KubeApi(None, written=heard.append)  # type: ignore[arg-type]
    api.create(kinds.EVENTS, "lab", {"metadata": {"name": "e"}})
    api.create(kinds.SECRETS, "lab", {"metadata": {"name": "s"}})
    assert heard == ["POST /api/v1/namespaces/lab/secrets"]
    idle = KubeApi(None, leads=lambda: False)  # type: ignore[arg-type]
    before = len(sent)
    with pytest.raises(NotLeading):
        idle.delete(kinds.PODS, "lab", "q-0")
    assert len(sent) == before
