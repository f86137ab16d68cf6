from __future__ import annotations

import pytest

from labsupport.course.lessons.journey import means, read, station_of

METRICS = """\
# TYPE apiserver_request_filter_duration_seconds histogram
apiserver_request_filter_duration_seconds_bucket{filter="authentication",le="1"} 9
apiserver_request_filter_duration_seconds_sum{filter="authentication"} %s
apiserver_request_filter_duration_seconds_count{filter="authentication"} %s
etcd_request_duration_seconds_sum{group="g",operation="create",resource="sites"} %s
etcd_request_duration_seconds_count{group="g",operation="create",resource="sites"} %s
etcd_request_duration_seconds_sum{group="g",operation="get",resource="sites"} %s
etcd_request_duration_seconds_count{group="g",operation="get",resource="sites"} %s
apiserver_request_duration_seconds_sum{dry_run="",resource="sites",verb="POST"} %s
apiserver_request_duration_seconds_count{dry_run="",resource="sites",verb="POST"} %s
apiserver_cel_evaluation_duration_seconds_sum %s
apiserver_cel_evaluation_duration_seconds_count %s
"""


def test_means_are_taken_between_two_readings_of_the_metrics() -> None:
    before = read(METRICS % (1.0, 10, 2.0, 4, 0, 0, 5.0, 4, 0, 0))
    after = read(METRICS % (1.001, 20, 2.004, 8, 9.9, 1, 5.02, 8, 0.002, 8))
    found = means(before, after, "sites")
    assert found["authenticate"] == pytest.approx(100)
    assert found["store"] == pytest.approx(1000)
    assert found["whole"] == pytest.approx(5000)
    assert found["cel"] == pytest.approx(500)
    assert "admit" not in found


def test_what_was_not_asked_has_no_mean() -> None:
    same = read(METRICS % (1.0, 10, 2.0, 4, 0, 0, 5.0, 4, 0, 0))
    assert means(same, same, "sites") == {}


@pytest.mark.parametrize(
    ("status", "message", "station"),
    [(201, "", None), (401, "", 0), (403, "", 1), (400, "", 2), (404, "", 3), (422, "", 4), (409, "", 6)],
)
def test_a_refusal_tells_by_its_status_who_refused(status: int, message: str, station: int | None) -> None:
    assert station_of(status, message) == station


def test_a_quota_refuses_late_although_its_status_is_that_of_an_authorizer() -> None:
    assert station_of(403, "exceeded quota: few") == 5
