"""What `labs bench quorum --faults` makes of runs; the runs themselves need three nodes."""

from __future__ import annotations

import json
from pathlib import Path

from labsupport.cluster import quorumbench
from labsupport.cluster.quorum import settled
from labsupport.cluster.quorumbench import kills

RUN = {
    "name": "leader-killed",
    "run": 0,
    "acknowledged": 10,
    "lost": 0,
    "refused": 1,
    "gap_s": 0.5,
    "slowest_s": 0.6,
    "operations": 7,
    "unanswered": 0,
    "linearizable": True,
    "failing": [],
    "final_state_ok": True,
}


def test_runs_that_are_in_the_file_are_not_done_again(tmp_path: Path) -> None:
    file = tmp_path / "runs"
    file.write_text("".join(json.dumps(RUN | {"run": run, "gap_s": run}) + "\n" for run in range(3)))
    (found,) = quorumbench.measure(["leader-killed"], 3, file)["faults"]
    assert found["leaderless_s"] == {"median": 1, "max": 2}
    assert (found["runs"], found["acknowledged"], found["operations"]) == (3, 30, 21)
    assert found["final_state_ok"]
    assert "linearizable" in quorumbench.describe({"faults": [found]})


def test_one_wrong_run_makes_all_of_it_wrong(tmp_path: Path) -> None:
    file = tmp_path / "runs"
    wrong = RUN | {"run": 1, "lost": 1, "final_state_ok": False, "linearizable": False}
    file.write_text(json.dumps(RUN) + "\n" + json.dumps(wrong) + "\n")
    (found,) = quorumbench.measure(["leader-killed"], 2, file)["faults"]
    assert (found["lost"], found["linearizable"], found["final_state_ok"]) == (1, False, False)
    told = quorumbench.describe({"faults": [found]})
    assert "NOT LINEARIZABLE" in told
    assert "WRONG IN THE END" in told


def test_a_quorum_is_settled_when_all_of_it_is() -> None:
    conditions = [
        {"type": "Available", "status": "True"},
        {"type": "KeyReady", "status": "True"},
        {"type": "Progressing", "status": "False", "reason": "AsWanted"},
    ]
    status = {"observedGeneration": 2, "voters": 3, "ready": 3, "release": "1.1", "conditions": conditions}
    quorum = {"metadata": {"generation": 2}, "spec": {"size": 3, "release": "1.1"}, "status": status}
    assert settled([quorum]).done
    for change in (
        {"observedGeneration": 1},
        {"voters": 2},
        {"ready": 2},
        {"release": "1.0"},
        {"conditions": []},
    ):
        assert not settled([quorum | {"status": status | change}]).done
    assert settled([]).failed


def lived(phase: str, writes: int) -> dict[str, object]:
    return RUN | {"name": kills.name_of(phase), "run": 0, "writes": writes}


def killed(phase: str, k: int, died: bool = True) -> dict[str, object]:
    return RUN | {"name": kills.name_of(phase), "run": k, "died": died}


def test_writes_are_counted_first_and_then_each_is_an_operators_last() -> None:
    assert kills.due(["upgrade", "restore"], []) == {0: ["upgrade", "restore"]}
    assert kills.due(["upgrade", "restore"], [lived("upgrade", 3)]) == {0: ["restore"]}
    done = [lived("upgrade", 3), lived("restore", 2), killed("upgrade", 1)]
    assert kills.due(["upgrade", "restore"], done) == {
        1: ["restore"],
        2: ["upgrade", "restore"],
        3: ["upgrade"],
    }
    assert kills.due(["upgrade"], [lived("upgrade", 1), killed("upgrade", 1)]) == {}


def test_there_are_never_more_quorums_than_allowed() -> None:
    ks = kills.chosen({"bootstrap": 38, "upgrade": 90, "scale-up": 10, "restore": 4})
    assert {phase: each[-1] for phase, each in ks.items()} == {
        "bootstrap": 38,
        "upgrade": 74,
        "scale-up": 10,
        "restore": 4,
    }
    assert 2 + len(ks["restore"]) + max(map(len, ks.values())) == kills.MOST


def test_it_is_told_after_which_writes_an_operator_died(tmp_path: Path) -> None:
    runs = [lived("restore", 4), *(killed("restore", k, died=k != 3) for k in range(1, 5))]
    file = tmp_path / "runs"
    file.write_text("".join(json.dumps(each) + "\n" for each in runs))
    (found,) = quorumbench.measure([kills.name_of("restore")], 1, file)["faults"]
    assert (found["runs"], found["writes"], found["killed_after"], found["outlived"]) == (
        5,
        4,
        [1, 2, 4],
        [3],
    )
    told = quorumbench.describe({"faults": [found]})
    assert "died after writes 1-2, 4 of 4, 3 not reached" in told
