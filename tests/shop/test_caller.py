"""A learner's function in the place of orders' outgoing call."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labsupport.operators.learner import Learner
from labsupport.shop import caller
from labsupport.shop.client import Call, NoAnswer, Response


def learner_of(directory: Path, source: str, entry: str, **settings: object) -> Learner:
    (directory / "learner.py").write_text(source)
    origins = [["cell [1]", number, line] for number, line in enumerate(source.splitlines(), 1)]
    (directory / "learner.json").write_text(json.dumps({"entry": entry, "origins": origins}))
    (directory / "settings.json").write_text(json.dumps(settings))
    return Learner(directory)


def send(request: Call, timeout: float) -> Response:
    if timeout < 1:
        raise NoAnswer("timed out")
    return Response(201)


def test_an_answer_is_passed_on_and_no_answer_is_not_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "def call(request, send, clock):\n    return send(request, 2.0 if request.key else 0.1)\n"
    made = caller.outgoing(learner_of(tmp_path, source, "call"))
    assert made(Call("POST", "/charges", key="a"), send).status == 201
    with pytest.raises(NoAnswer):
        made(Call("POST", "/charges"), send)
    assert capsys.readouterr().out == ""


def test_what_is_no_response_is_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = caller.outgoing(learner_of(tmp_path, "def call(a, b, c):\n    return 201\n", "call"))
    with pytest.raises(TypeError, match="returned int"):
        made(Call("GET", "/"), send)
    assert json.loads(capsys.readouterr().out)["kind"] == "TypeError"


def test_trust_gets_the_authority(tmp_path: Path) -> None:
    source = (
        "import ssl\n\ndef trust(pem):\n    assert pem == 'PEM'\n    return ssl.create_default_context()\n"
    )
    assert caller.context(learner_of(tmp_path, source, "trust", authority="PEM")).check_hostname
