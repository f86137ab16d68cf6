"""`labs mesh`: what it says of a mesh. What it does is proven on a cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labsupport import cli
from labsupport.cli import mesh
from labsupport.mesh.admin.status import MeshStatus
from labsupport.mesh.admin.workloads import Owner, PodState

OWNER = Owner("Deployment", "shop", "web")
POD = PodState("shop", "web-1", "redirect", True, "current", "", OWNER)
READY = MeshStatus(
    installed=True,
    ready=True,
    control_ready=1,
    control_wanted=1,
    webhook="trusted",
    gateway_api="v1.6.3 (standard)",
    revision="0123456789ab",
    namespaces=("shop",),
    pods=(POD,),
    problems=(),
)


def test_a_ready_mesh_is_described() -> None:
    lines = mesh.describe(READY).splitlines()
    assert lines[0] == "The mesh is ready."
    assert lines[-1] == "shop/web-1  redirect  yes    as it should be"


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("older", "restart it: why"),
        ("missing", "restart it: why"),
        ("leftover", "restart it: why"),
        ("left", "without one on purpose: why"),
        ("unknown", "could not be asked"),
    ],
)
def test_each_state_says_what_to_do(state: str, told: str) -> None:
    pod = replace(POD, state=state, note="why")
    assert told in mesh.describe(replace(READY, pods=(pod,))).splitlines()[-1]


def test_problems_come_before_pods() -> None:
    text = mesh.describe(replace(READY, ready=False, problems=("the webhook is gone",)))
    assert text.index("not ready") < text.index("the webhook is gone") < text.index("POD")


def test_without_a_mesh_leftover_proxies_are_listed_all_the_same() -> None:
    gone = replace(READY, installed=False, ready=False, webhook="missing", namespaces=(), pods=())
    assert mesh.describe(gone).splitlines() == [
        "There is no mesh on this cluster.",
        "Next: labs mesh install",
    ]
    assert "shop/web-1" in mesh.describe(replace(gone, pods=(replace(POD, state="leftover", note="why"),)))


def test_a_cluster_that_is_not_there_is_told(
    tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert cli.main(["mesh", "status"]) == 1
    assert "There is no cluster 'labs'" in capsys.readouterr().err
