"""What Envoy's counters and log say of a file. The lines are those of Envoy 1.40."""

from __future__ import annotations

import pytest
import yaml

from labsupport.course.lessons.proxyfiles import SHOWN, as_file, complaint, is_blank, outcome
from labsupport.errors import LabsError

HEAD = "[2026-11-25 03:44:0{}.757][1][{}][{}] [source/some/file.cc:81] "
RDS = "http.ingress.rds.shop."


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        ({"update_attempt": 1, "update_success": 1}, "accepted"),
        ({"update_attempt": 1, "update_rejected": 1}, "rejected"),
        ({"update_attempt": 1, "update_failure": 1}, "unreadable"),
        ({"update_attempt": 1}, "unseen"),
        ({}, "unseen"),
    ],
)
def test_three_fates_of_a_file(moved: dict[str, int], expected: str) -> None:
    before = {
        RDS + name: 4 for name in ("update_attempt", "update_success", "update_rejected", "update_failure")
    }
    after = {name: value + moved.get(name.removeprefix(RDS), 0) for name, value in before.items()}
    assert outcome(before, after) == expected


def test_the_last_refusal_is_quoted() -> None:
    log = (
        HEAD.format(1, "warning", "main")
        + "There is no configured limit to the number of connections.\n"
        + HEAD.format(2, "warning", "config")
        + "Filesystem config update failure: in /files/routes.yaml, illegal flow end\n"
        + HEAD.format(3, "warning", "config")
        + "Filesystem config update rejected: Only a single wildcard\n   domain is permitted\n"
        + "GET / -> 200 flags=- upstream=10.0.0.1:80\n"
    )
    assert complaint(log).startswith(
        "Filesystem config update rejected: Only a single wildcard domain is permitted"
    )


def test_a_printed_message_gives_way_to_its_reason() -> None:
    entry = (
        HEAD.format(1, "warning", "config") + "Filesystem config update rejected: goo.gle/debugstr\nname: 1\n"
    )
    assert complaint(entry + ": Proto constraint validation failed (X: is required)") == (
        "Proto constraint validation failed (X: is required)"
    )


def test_a_start_that_failed_and_a_crash() -> None:
    start = HEAD.format(1, "critical", "main") + "error `unknown cluster 'web'` initializing config 'x'\n"
    assert "unknown cluster 'web'" in complaint(start)
    crash = HEAD.format(1, "critical", "assert") + "assert failure: inotify_fd_ >= 0.\n"
    crash += HEAD.format(2, "critical", "backtrace") + "Caught Aborted\n"
    assert complaint(crash) == "assert failure: inotify_fd_ >= 0."
    assert complaint("") == ""
    assert len(complaint(HEAD.format(1, "critical", "main") + "x" * 5000)) < SHOWN + 10


def test_files_from_resources_and_texts() -> None:
    (resource,) = yaml.safe_load(as_file("endpoints", {"cluster_name": "web"}))["resources"]
    assert resource["cluster_name"] == "web"
    assert resource["@type"].endswith("ClusterLoadAssignment")
    assert as_file("routes", "resources: []") == "resources: []"
    with pytest.raises(LabsError, match="a text or a dictionary, not list"):
        as_file("routes", [])


@pytest.mark.parametrize(
    ("value", "blank"), [(None, True), (..., True), ("\n # x\n", True), ("a: 1 # x", False), ({}, False)]
)
def test_what_counts_as_nothing_yet(value: object, blank: bool) -> None:
    assert is_blank(value) == blank
