"""The story of an apply, told from what watches deliver."""

from __future__ import annotations

from typing import Any

from labsupport.course.lessons.observe import Arrival, moments


def arrival(at: float, change: str, version: int, kind: str, **rest: Any) -> Arrival:
    metadata = {"uid": rest.pop("uid", kind), "name": kind.lower(), "resourceVersion": str(version)}
    return at, change, {"kind": kind, "metadata": metadata, "spec": rest.pop("spec", {}), **rest}


DEPLOYMENT = arrival(10.30, "ADDED", 5, "Deployment", spec={"replicas": 1})


def test_the_order_is_that_of_the_writes_and_a_write_is_no_later_than_what_followed_it() -> None:
    # The ReplicaSet's watch was quicker than the Deployment's, though it was written later.
    told = moments([arrival(10.20, "ADDED", 6, "ReplicaSet"), DEPLOYMENT], started=10.0)
    assert [(moment.lane, moment.at) for moment in told] == [("you", 0.0), ("deployment controller", 0.0)]


def test_each_writer_has_a_lane_and_writes_that_change_nothing_visible_are_left_out() -> None:
    bound = {"nodeName": "node-1"}
    running = {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}
    is_ready = {**running, "conditions": [{"type": "Ready", "status": "True"}]}
    told = moments(
        [
            DEPLOYMENT,
            arrival(10.4, "MODIFIED", 7, "Deployment", spec={"replicas": 1}),  # an annotation, say
            arrival(10.5, "ADDED", 8, "Pod"),
            arrival(10.6, "MODIFIED", 9, "Pod", spec=bound),
            arrival(10.7, "MODIFIED", 10, "Pod", spec=bound, status=running),
            arrival(10.8, "MODIFIED", 11, "Pod", spec=bound, status=running),
            arrival(11.3, "MODIFIED", 12, "Pod", spec=bound, status=is_ready),
        ],
        started=10.0,
    )
    lanes = ["you", "replicaset controller", "scheduler", "kubelet", "kubelet"]
    assert [moment.lane for moment in told] == lanes
    assert [moment.at for moment in told] == [0.0, 0.2, 0.3, 0.4, 1.0]
    assert told[-1].what.endswith("container c runs, Ready")


def test_the_nodes_events_are_told_and_the_controllers_are_not() -> None:
    event = {"reason": "Started", "message": "m"}
    told = moments(
        [
            arrival(1.0, "ADDED", 1, "Event", uid="a", reportingComponent="kubelet", **event),
            arrival(
                1.0, "ADDED", 2, "Event", uid="b", source={"component": "replicaset-controller"}, **event
            ),
        ],
        started=0.0,
    )
    assert [(moment.lane, moment.what) for moment in told] == [("kubelet", "event Started: m")]
