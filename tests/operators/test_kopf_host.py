"""The kopf host: calls of handlers recorded, with what they raised, and kopf's settings for one operator of several."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import kopf
import pytest

from labsupport.operators import kopf_host
from labsupport.operators.learner import Learner

SOURCE = """
def tend(name, spec, **_):
    if spec["size"] > 9:
        raise kopf_host_test_errors[spec["size"]]
    return spec["size"]


async def mind(**_):
    return "minded"
"""


@pytest.fixture
def learner(tmp_path: Path) -> Learner:
    (tmp_path / "learner.py").write_text(SOURCE)
    (tmp_path / "learner.json").write_text(json.dumps({"entry": "tend", "origins": [["[4]", 2, "x"]] * 12}))
    (tmp_path / "settings.json").write_text("{}")
    made = Learner(tmp_path)
    errors = {10: KeyError("gold"), 11: kopf.TemporaryError("not now"), 12: kopf.PermanentError("never")}
    made.function.__globals__["kopf_host_test_errors"] = errors
    return made


def registered(learner: Learner) -> tuple[list[Any], int]:
    """The handlers of a registry of its own, as kopf would call them, and how many were counted."""
    registry = kopf.OperatorRegistry()
    flocks: dict[str, Any] = {"group": "g", "version": "v1", "plural": "flocks", "registry": registry}
    kopf.on.create(**flocks)(learner.function)
    kopf.on.update(**flocks)(learner.function)
    kopf.timer(**flocks, interval=3)(learner.function.__globals__["mind"])
    count = kopf_host.observe(registry, learner)
    return [*registry._changing.get_all_handlers(), *registry._spawning.get_all_handlers()], count


def called(function: Any, size: int, retry: int = 0) -> Any:
    body = {"kind": "Flock"}
    return function(name="lea", spec={"size": size}, body=body, reason="create", retry=retry)


def records(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_call_is_one_record_and_the_result_is_the_handlers_own(
    learner: Learner, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers, count = registered(learner)
    assert count == 3
    assert called(handlers[0].fn, 4, retry=2) == 4
    assert asyncio.run(handlers[2].fn(name="lea", body={})) == "minded"
    first, second = records(capsys)
    assert (first["handler"], first["name"], first["reason"], first["retry"]) == ("tend", "lea", "create", 2)
    assert first["error"] == ""
    assert first["began"] <= first["ended"]
    assert (second["handler"], second["reason"], second["retry"]) == ("mind", "", 0)


def test_a_function_under_two_decorators_stays_one(learner: Learner) -> None:
    handlers, _ = registered(learner)
    assert handlers[0].fn is handlers[1].fn
    assert asyncio.iscoroutinefunction(handlers[2].fn)


def test_what_nobody_expects_is_a_failure_with_the_learners_line(
    learner: Learner, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers, _ = registered(learner)
    with pytest.raises(KeyError) as caught:
        called(handlers[0].fn, 10)
    failure, call = records(capsys)
    assert (failure["labs"], failure["kind"], failure["cell"], failure["input"]) == (
        *("learner", "KeyError", "[4]"),
        "Flock lea",
    )
    assert call["error"].startswith("KeyError")
    kopf_host.Tell(learner).handle(logging_record(caught.value))
    assert records(capsys) == []  # told already


@pytest.mark.parametrize(("size", "error"), [(11, "TemporaryError: not now"), (12, "PermanentError: never")])
def test_what_a_handler_says_to_kopf_is_no_failure(
    learner: Learner, capsys: pytest.CaptureFixture[str], size: int, error: str
) -> None:
    handlers, _ = registered(learner)
    with pytest.raises(Exception, match="n"):
        called(handlers[0].fn, size)
    (call,) = records(capsys)
    assert call["error"] == error


def test_what_kopf_itself_fails_at_is_told_once(learner: Learner, capsys: pytest.CaptureFixture[str]) -> None:
    error = PermissionError("flocks is forbidden")
    for _ in range(2):
        kopf_host.Tell(learner).handle(logging_record(error))
    (failure,) = records(capsys)
    assert (failure["kind"], failure["message"]) == ("PermissionError", "flocks is forbidden")


def test_a_request_that_kopf_tries_again_is_told_in_the_servers_words(
    learner: Learner, capsys: pytest.CaptureFixture[str]
) -> None:
    class Forbidden(Exception):
        status = 403
        message = "flocks is forbidden"

    log = logging.Logger("kopf.clients")
    log.addHandler(kopf_host.Tell(learner))
    log.error("nothing has happened")
    try:
        raise Forbidden("a page of headers")
    except Forbidden:
        log.error("Request attempt #1/16 failed; will retry")
    (failure,) = records(capsys)
    assert (failure["kind"], failure["message"]) == ("Forbidden", "403 flocks is forbidden")


def logging_record(error: BaseException) -> logging.LogRecord:
    return logging.LogRecord("kopf", logging.ERROR, "x", 1, "it failed", (), (type(error), error, None))


def test_operators_of_the_same_objects_keep_their_own_finalizers_and_books() -> None:
    one, other = kopf_host.settings("g.example", "shepherd"), kopf_host.settings("g.example", "clerk")
    assert one.persistence.finalizer == "g.example/shepherd"
    assert other.persistence.finalizer == "g.example/clerk"
    lea: Any = {"metadata": {"name": "lea"}, "spec": {"size": 3}}
    body, patch = kopf.Body(lea), kopf.Patch()
    essence = one.persistence.diffbase_storage.build(body=body)
    one.persistence.diffbase_storage.store(body=body, patch=patch, essence=essence)
    assert {each.partition("/")[0] for each in patch["metadata"]["annotations"]} == {"shepherd.g.example"}
    stored = kopf.Body(lea | {"metadata": {"name": "lea", **patch["metadata"]}})
    assert one.persistence.diffbase_storage.fetch(body=stored) == essence
    assert other.persistence.diffbase_storage.fetch(body=stored) is None
    # What one of them notes is no change to the other.
    assert other.persistence.diffbase_storage.build(body=stored) == essence


def test_nobody_asks_for_what_a_role_cannot_give() -> None:
    chosen = kopf_host.settings("g.example", "shepherd")
    assert chosen.scanning.disabled
    assert chosen.peering.standalone


def test_a_deleted_object_does_not_wait_a_minute_for_a_timer_that_was_at_work() -> None:
    assert kopf_host.settings("g.example", "shepherd").background.cancellation_polling <= 1
