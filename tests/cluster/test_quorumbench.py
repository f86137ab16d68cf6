"""What `labs bench quorum --faults` makes of runs; the runs themselves need three nodes."""

from __future__ import annotations

import json
from pathlib import Path

from labsupport.cluster import quorumbench
from labsupport.cluster.quorumbench.place import settled

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
