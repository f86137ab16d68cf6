"""Functions in forks of a process that has imported the client: the same as in a process of their own, and sooner."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from labsupport.course.isolation import warm
from labsupport.course.isolation.isolated import Endless, Isolated, Raised, Returned
from labsupport.course.source import run_cell


@pytest.fixture(autouse=True)
def template() -> Iterator[warm.Template]:
    warm.prepare()
    assert warm._template is not None
    yield warm._template
    warm.close()
    assert not [child for child in psutil.Process().children() if "isolated" in " ".join(child.cmdline())]


def function(text: str) -> Isolated:
    names: dict[str, Any] = {}
    run_cell(text, names, "the answer")
    return Isolated(names["f"], names)


def called(text: str, limit: float = 5.0) -> Any:
    isolated = function(text)
    try:
        return isolated.call((), limit)
    finally:
        isolated.close()


def test_a_fork_has_the_client_already_and_nothing_of_another_ones() -> None:
    files = psutil.Process().num_fds()
    text = (
        "def f():\n    import os, sys\n    known = 'kubernetes.client' in sys.modules, hasattr(sys, 'mine')\n"
    )
    text += "    sys.mine = 1\n    return *known, os.getppid()"
    first, second = called(text), called(text)
    assert warm._template is not None
    assert first == second == Returned((True, False, warm._template.process.pid))
    assert psutil.Process().num_fds() == files


def test_what_does_not_end_or_ends_suddenly_is_told_as_ever() -> None:
    endless = called("def f():\n    while True:\n        pass", 0.5)
    assert isinstance(endless, Endless)
    assert endless.line is not None
    assert called("def f():\n    import os\n    os._exit(3)") == Raised(
        "SystemExit", "its process ended suddenly (status 3)"
    )
    killed = called("def f():\n    import os\n    os.kill(os.getpid(), 9)")
    assert isinstance(killed, Raised)
    assert "SIGKILL" in killed.message
    assert called("def f():\n    print('said')\n    return 1") == Returned(1)


def test_what_it_prints_is_kept() -> None:
    isolated = function("def f():\n    print('said')")
    isolated.call((), 5.0)
    isolated.close()
    assert isolated.output == "said\n"


def test_without_it_processes_are_started_as_before(template: warm.Template) -> None:
    os.kill(template.process.pid, signal.SIGKILL)
    template.process.wait()
    assert called("def f():\n    return 1") == Returned(1)
    assert not template.usable


def test_another_environment_is_not_served_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABS_TEST", "other")
    assert warm.spawn(2) is None
    text = "def f():\n    import os\n    return os.environ.get('LABS_TEST')"
    assert called(text) == Returned("other")
