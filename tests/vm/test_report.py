"""From the machine's lines to a verdict: what counts as held, and what does not."""

from __future__ import annotations

import json
from dataclasses import replace

from . import report

STEP = {
    "event": "step",
    "name": "make env",
    "ok": True,
    "seconds": 61.5,
    "peak_mb": 800,
    "detail": "Python 3.11.2",
}
LINES = [
    '@@ {"event": "session", "uptime": 20.1}',
    '@@ {"event": "facts", "kernel": "6.1.0", "delegated": "cpu memory pids"}',
    "== make env",
    "@@ not a record",
    '@@ {"event": "st',
    "@@ " + json.dumps(STEP),
    '@@ {"event": "end", "status": 0}',
]


def test_records_are_found_among_other_lines() -> None:
    facts, steps, status = report.collect(LINES)
    assert facts == {"kernel": "6.1.0", "delegated": "cpu memory pids"}
    assert steps == (report.Step("make env", True, 61.5, 800, "Python 3.11.2"),)
    assert status == 0


def whole() -> report.Report:
    facts, steps, status = report.collect(LINES)
    return report.Report("12", "tcg", 90.0, 25.0, 1200, facts, steps, status)


def test_all_must_hold() -> None:
    good = whole()
    assert good.ok
    (step,) = good.steps
    for bad in (
        replace(good, steps=()),
        replace(good, steps=(step, replace(step, ok=False))),
        replace(good, status=1),
        replace(good, status=None),
        replace(good, trouble="the machine said nothing for 900 s"),
        replace(good, kernel=('audit: apparmor="DENIED"',)),
    ):
        assert not bad.ok
        assert "Not all held." in report.describe(bad)


def test_an_end_that_was_not_told_is_none() -> None:
    assert report.collect(LINES[:-1])[2] is None


def test_the_kernels_complaints_are_found_once() -> None:
    denied = '[   9.1] audit: type=1400 audit(1.1:5): apparmor="DENIED" operation="userns_create"'
    console = f"[    0.0] Linux version 6.1\r\n{denied}\r\n{denied}\r\n[  10.0] veth0: entered\r\n"
    assert report.grave(console) == (denied,)
    assert report.grave("[    0.0] Linux version 6.1 debug: BUGs are not listed\r\n") == ()


def test_the_table_has_each_step() -> None:
    said = report.describe(whole())
    assert "make env" in said
    assert "61.5" in said
    assert said.endswith("All held.")
    assert json.loads(json.dumps(whole().as_dict()))["ok"] is True


def test_progress_is_for_people() -> None:
    assert report.progress("building") == "    building"
    assert report.progress("@@ " + json.dumps(STEP)) == "  ok      make env (61.5 s, 800 MB): Python 3.11.2"
    assert "FAILED" in report.progress("@@ " + json.dumps(STEP | {"ok": False}))


def test_a_container_at_its_own_limit_is_no_complaint_and_another_process_is() -> None:
    line = "[ 1364.4] oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg={},task=python3,pid=686,uid=1000\r\n"
    assert report.grave(line.format("/user.slice/x.scope/labs-409/kubepods/pod1")) == ()
    assert report.grave(line.format("/user.slice/x.scope/labs-409/node")) != ()
    assert report.grave("[ 1.0] oom-kill:constraint=CONSTRAINT_NONE,task=kubelet,pid=7\r\n") != ()
