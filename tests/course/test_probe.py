"""The mistakes that learners make before the cluster comes into it, and what a check makes of them: always a "not yet"
that shows the learner's own line, never a hung or a littered kernel.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from labsupport.course import exercise as engine
from labsupport.course.manifest import Lab
from labsupport.course.probe import CheckFault, Outcome, Probe, Raised, Rejected, Returned, not_yet, passed
from labsupport.course.source import run_cell

FIRST = "the answer"
LAB = Lab.model_validate(
    {
        "id": "zz",
        "title": "Z",
        "notebook": "zz",
        "minutes": 1,
        "exercises": [
            {
                "id": "zz-one",
                "title": "One",
                "form": "code",
                "minutes": 1,
                "expected": "one",
                "hints": ["look", "think", "nearly"],
                "explanation": "because",
            }
        ],
    }
)


def probe(*cells: str, **values: Any) -> Probe:
    names: dict[str, Any] = dict(values)
    for text in cells:
        run_cell(text, names, FIRST)
    return Probe(None, names, time.monotonic() + 45)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Each test here leaves the process as it found it: no thread, no child, no open file."""
    me = psutil.Process()
    before = (
        threading.active_count(),
        me.num_threads(),
        {child.pid for child in me.children(recursive=True)},
    )
    files = me.num_fds()
    yield
    after = (threading.active_count(), me.num_threads(), {child.pid for child in me.children(recursive=True)})
    assert after == before
    assert me.num_fds() == files


def outcome(work: Any) -> Outcome:
    with pytest.raises(Rejected) as rejected:
        work()
    return rejected.value.outcome


def call(given: Probe, *arguments: Any, limit: float = 2.0, parameters: int | None = None) -> Any:
    with given.function("f", parameters) as function:
        function.limit = limit
        return function(*arguments)


# --- names


@pytest.mark.parametrize(
    ("values", "diagnostic", "said"),
    [
        ({}, "name-missing", "no `answer`"),
        ({"answer_2": "x"}, "name-missing", "there is `answer_2`"),
        ({"answer": ...}, "name-missing", "still `...`"),
        ({"answer": None}, "name-missing", "still `None`"),
        ({"answer": 3}, "wrong-type", "type int: `3`"),
        ({"answer": "x" * 1000}, "", ""),
    ],
)
def test_a_value_that_is_missing_or_of_another_type(
    values: dict[str, Any], diagnostic: str, said: str
) -> None:
    given = probe(**values)
    if not diagnostic:
        assert given.value("answer", str, "the name of a Pod") == values["answer"]
        return
    found = outcome(lambda: given.value("answer", str, "the name of a Pod"))
    assert found.diagnostic == diagnostic
    assert said in found.observed
    assert len(found.observed) < 400


def test_a_truth_value_is_no_number() -> None:
    assert outcome(lambda: probe(n=True).value("n", int, "a number")).diagnostic == "wrong-type"


@pytest.mark.parametrize(
    ("cell", "diagnostic", "said"),
    [
        ("pass", "name-missing", "no `f`"),
        ("f = ...", "name-missing", "still"),
        ("f = 3", "wrong-type", "int"),
        ("class f:\n    pass", "wrong-type", "type"),
        ("def f(pod):\n    pass", "wrong-parameters", "called with 2 arguments; yours is `f(pod)`"),
        ("def f(a, b, *, c):\n    pass", "wrong-parameters", "f(a, b, c)"),
        ("def f(a, b, c):\n    pass", "wrong-parameters", "f(a, b, c)"),
        ("def make():\n    x = []\n    def f(a, b):\n        return x\n    return f\nf = make()", "unportable", "`x`"),
        ("import socket\ns = socket.socket()\ns.close()\ndef f(a, b):\n    s", "unportable", "a socket, a connection"),
    ],
)  # fmt: skip
def test_functions_that_cannot_be_called(cell: str, diagnostic: str, said: str) -> None:
    found = outcome(lambda: call(probe(cell), 1, 2, parameters=2))
    assert found.diagnostic == diagnostic
    assert said in found.observed


# --- calls


def test_results_are_copies_and_the_notebooks_own_classes_come_back() -> None:
    given = probe(
        "class P:\n    def __init__(self, x):\n        self.x = x",
        "def f(x):\n    print('seen', x)\n    return [P(x)]",
    )
    with given.function("f", 1) as function:
        (made,) = function(3)
        assert function.output == "seen 3\n"
        assert isinstance(made, given.answers["P"])
        assert made.x == 3


def test_arguments_of_the_notebooks_classes_travel() -> None:
    given = probe("class P:\n    x = 4\ndef f(p):\n    return p.x + p.y")
    argument = given.answers["P"]()
    argument.y = 1
    assert call(given, argument) == 5


def test_what_a_function_does_to_its_argument_stays_elsewhere() -> None:
    mine = {"labels": {}}
    assert call(probe("def f(pod):\n    pod['labels']['a'] = 1\n    return pod"), mine) == {
        "labels": {"a": 1}
    }
    assert mine == {"labels": {}}


def test_one_process_serves_all_calls_of_a_check() -> None:
    given = probe("import os\ndef f():\n    return os.getpid()")
    with given.function("f") as function:
        assert function() == function() != os.getpid()


def test_starting_takes_well_below_two_tenths_of_a_second() -> None:
    given = probe("def f():\n    return 1")
    spent = []
    for _ in range(5):
        before = os.times()
        assert call(given) == 1
        after = os.times()
        # Processor time, its own and the child's: on a busy machine the clock would measure the others.
        spent.append(sum(after[:4]) - sum(before[:4]))
    assert min(spent) < 0.15


def test_an_exception_shows_the_learners_line_and_the_input_and_nothing_of_ours() -> None:
    given = probe(
        "def helper(pod):\n    return pod['metadata']", "\n\ndef f(pod):\n    return helper(pod)['name']"
    )
    found = outcome(lambda: call(given, {"kind": "Pod"}))
    assert found.diagnostic == "raised"
    assert "KeyError: 'metadata'" in found.observed
    assert "{'kind': 'Pod'}" in found.observed
    assert found.decided_by == "line 2 of the answer: `return pod['metadata']`"
    assert "Traceback" not in str(found)
    assert ".py" not in str(found)


def test_an_exception_in_a_library_is_told_by_the_line_that_called_it() -> None:
    found = outcome(lambda: call(probe("import json\ndef f(x):\n    x = x\n    return json.loads(x)"), "{"))
    assert found.decided_by == "line 4 of the answer: `return json.loads(x)`"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("def f():\n    raise SystemExit(3)", "SystemExit"),
        ("def f():\n    raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import os\ndef f():\n    os._exit(3)", "ended suddenly"),
        ("import os, signal\ndef f():\n    os.kill(os.getpid(), signal.SIGSEGV)", "ended suddenly"),
        ("def f():\n    return f()", "RecursionError"),
        ("def f():\n    return [0] * 10**12", "MemoryError"),
        ("def f():\n    return input()", "EOFError"),
        ("def f():\n    import no_such_module", "No module"),
        ("class E(Exception):\n    def __str__(self):\n        raise E\ndef f():\n    raise E", "cannot be shown"),
    ],
)  # fmt: skip
def test_every_sudden_end_is_told(cell: str, said: str) -> None:
    found = outcome(lambda: call(probe(cell)))
    assert found.diagnostic == "raised"
    assert said in found.observed


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("def f():\n    while True:\n        pass", "while True"),
        ("def f():\n    while True:\n        try:\n            1 / 0\n        except:\n            pass", ""),
        ("import time\ndef f():\n    time.sleep(1e9)", "time.sleep(1e9)"),
        ("import time\ndef f():\n    while 1:\n        try:\n            time.sleep(1e9)\n        except: 1", "sleep"),
        ("import os\ndef f():\n    reader, writer = os.pipe()\n    return os.read(reader, 1)", "os.read(reader, 1)"),
        ("from signal import *\ndef f():\n    signal(SIGTERM, SIG_IGN)\n    pause()", "pause()"),
        ("import threading\ndef f():\n    threading.Event().wait()", "wait()"),
        ("import subprocess\ndef f():\n    subprocess.run(['sleep', '1000'])", "'sleep', '1000'"),
        ("def f():\n    while True:\n        print('x' * 1000)", ""),
        ("def g():\n    yield 1\ndef f():\n    for _ in iter(int, 1):\n        pass", ""),
        ("import re\ndef f():\n    return re.match('(a+)+b', 'a' * 60)", "re.match"),
    ],
)  # fmt: skip
def test_what_does_not_end_is_ended_with_all_that_it_started(cell: str, line: str) -> None:
    started = time.monotonic()
    found = outcome(lambda: call(probe(cell), limit=0.4))
    assert found.diagnostic == "endless"
    assert found.decided_by.startswith("line ")
    assert line in found.decided_by
    assert time.monotonic() - started < 30, (
        "ended, however busy the machine: left alone it goes on for longer"
    )
    # One that has ended and waits for the machine's first process to take note of it is no longer of any harm; one that
    # was just killed needs the kernel's turn to end.
    left = [
        each
        for each in psutil.process_iter(["cmdline", "status"])
        if each.info["cmdline"] == ["sleep", "1000"] and each.info["status"] != psutil.STATUS_ZOMBIE
    ]
    _, alive = psutil.wait_procs(left, timeout=10)
    assert not alive


def test_a_cell_that_does_not_end_when_it_is_defined_again_is_ended_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("labsupport.course.isolation.isolated.LOAD_LIMIT", 2.0)
    names: dict[str, Any] = {}
    run_cell("def f():\n    return slept", names, FIRST)
    names["_ih"].append("slept = object() if time.sleep(1e9) else object()")
    names |= {"slept": object(), "time": time}
    found = outcome(lambda: call(Probe(None, names, time.monotonic() + 45)))
    assert found.diagnostic == "endless"
    assert "time.sleep(1e9)" in found.decided_by


@pytest.mark.parametrize(
    "result", ["(x for x in [1])", "lambda: 1", "open('/dev/null')", "b'x' * (20 << 20)"]
)
def test_a_result_that_is_no_value(result: str) -> None:
    assert outcome(lambda: call(probe(f"def f():\n    return {result}"))).diagnostic == "wrong-type"


def test_printing_without_end_keeps_the_beginning_only() -> None:
    given = probe("def f():\n    for n in range(100_000):\n        print(n)\n    return n")
    with given.function("f") as function:
        assert function() == 99_999
        assert function.output.startswith("0\n1\n")
        assert len(function.output) < 20_000


def test_an_attempt_tells_what_was_raised() -> None:
    given = probe("def f(n):\n    return 1 / n")
    with given.function("f") as function:
        assert function.attempt(2) == Returned(0.5)
        raised = function.attempt(0)
        assert isinstance(raised, Raised)
        assert (raised.kind, raised.line.line if raised.line else 0) == ("ZeroDivisionError", 2)
        assert function.attempt(4) == Returned(0.25)  # the process lives on


def test_an_interrupt_ends_the_call_and_leaves_nothing() -> None:
    given = probe("def f():\n    while True:\n        pass")
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    with pytest.raises(KeyboardInterrupt):
        call(given, limit=30)


# --- harnesses


class Api:
    """A fake that counts and refuses."""

    def __init__(self) -> None:
        self.calls = 0

    def get(self, name: str) -> str:
        self.calls += 1
        if name == "gone":
            raise Refusal(name)
        return name.upper()


class Refusal(Exception):
    """What the fake refuses with."""


def twice(function: Any, name: str) -> tuple[list[str], int]:
    api = Api()
    return [function(api, name), function(api, name)], api.calls


def broken(function: Any) -> None:
    raise ValueError("my own mistake")


def patient(function: Any) -> None:
    time.sleep(1e9)


def refused(function: Any) -> str:
    try:
        function(Api(), "gone")
    except Refusal as refusal:
        return f"refused {refusal}"
    return "nothing"


def test_a_harness_brings_its_fakes_and_is_sent_without_its_module() -> None:
    given = probe("def f(api, name):\n    return api.get(name)")
    with given.function("f", 2) as function:
        assert function.drive(twice, "a") == (["A", "A"], 2)
        assert function.drive(refused) == "refused gone"
        found = outcome(lambda: function.drive(twice, "gone", about="a Pod that is gone"))
    assert found.diagnostic == "raised"
    assert "Refusal: gone for a Pod that is gone" in found.observed
    assert found.decided_by == "line 2 of the answer: `return api.get(name)`"


@pytest.mark.parametrize("harness", [broken, patient])
def test_a_fault_of_the_harness_is_not_the_learners(harness: Any) -> None:
    with probe("def f():\n    return 1").function("f") as function:
        function.limit = 0.4
        with pytest.raises(CheckFault):
            function.drive(harness)


# --- the engine around it


def run_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, offline: Any, live: Any = None, **answers: Any
) -> Any:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    tables = SimpleNamespace(CHECKS={"zz-one": live} if live else {}, OFFLINE={"zz-one": offline})
    monkeypatch.setitem(sys.modules, "labs_checks_zz", tables)
    return engine.run(
        LAB, LAB.exercises[0], connect=lambda: pytest.fail("it asked for the cluster"), answers=answers
    )


def test_rejections_become_verdicts_and_an_offline_failure_needs_no_cluster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    verdict = run_check(
        monkeypatch, tmp_path, lambda probe: probe.value("x", str, "text"), lambda _: passed("", "")
    )
    assert (verdict.verdict, verdict.diagnostic) == ("not_yet", "name-missing")


def test_a_fault_of_the_harness_becomes_could_not_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    given = probe("def f():\n    return 1")

    def check(_: Probe) -> Outcome:
        with given.function("f") as function:
            function.drive(broken)
        return passed("", "")

    verdict = run_check(monkeypatch, tmp_path, check)
    assert (verdict.verdict, verdict.diagnostic) == ("could_not_check", "check-failed")
    assert "my own mistake" in verdict.observed


def test_a_check_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(engine, "HARD_LIMIT", 0.3)

    def check(_: Probe) -> Outcome:
        while True:
            with contextlib.suppress(Exception):
                time.sleep(1e9)

    before = signal.getsignal(signal.SIGALRM)
    verdict = run_check(monkeypatch, tmp_path, check)
    assert (verdict.verdict, verdict.diagnostic) == ("could_not_check", "check-failed")
    assert "not done after" in verdict.observed
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_offline_check_that_asks_for_the_cluster_is_at_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    verdict = run_check(monkeypatch, tmp_path, lambda probe: not_yet("zz-one/x", probe.namespace, "", ""))
    assert verdict.verdict == "could_not_check"


@pytest.mark.parametrize(
    ("namespace", "said"),
    [(None, "has no namespace"), ({"metadata": {"name": "labs-system"}}, "did not make"), ("ours", "")],
)
def test_a_cluster_that_is_not_the_courses_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, namespace: Any, said: str
) -> None:
    ours = {"metadata": {"labels": {"labs.example/part-of": "course"}}}
    monkeypatch.setattr("labsupport.kube.get", lambda *_: ours if namespace == "ours" else namespace)
    api: Any = SimpleNamespace(configuration=SimpleNamespace(host="https://production.example"))
    found = engine.wrong_context(api)
    if not said:
        assert found is None
        return
    assert found is not None
    assert found.diagnostic == "wrong-context"
    assert "https://production.example" in found.observed
    assert said in found.observed
