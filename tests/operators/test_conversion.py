"""The conversion host: reviews answered, and answered over TLS."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from labsupport.course.certificates import Authority
from labsupport.operators import conversion
from labsupport.operators.learner import Learner

SOURCE = """
def convert(site, wanted):
    return {**site, "apiVersion": wanted, "port": int(site["port"])}
"""


@pytest.fixture
def convert(tmp_path: Path) -> Learner:
    (tmp_path / "learner.py").write_text(SOURCE)
    (tmp_path / "learner.json").write_text(json.dumps({"entry": "convert", "origins": [["[3]", 7, "x"]] * 4}))
    (tmp_path / "settings.json").write_text("{}")
    return Learner(tmp_path)


def asked(*ports: str) -> dict[str, Any]:
    objects = [
        {"apiVersion": "g/v1", "kind": "Site", "metadata": {"name": "a"}, "port": port} for port in ports
    ]
    return {"request": {"uid": "1", "desiredAPIVersion": "g/v2", "objects": objects}}


def test_a_review_is_answered_with_the_converted_objects_in_their_order(convert: Learner) -> None:
    response = conversion.review(convert, asked("1", "2"))["response"]
    assert response["uid"] == "1"
    assert response["result"] == {"status": "Success"}
    assert [(each["apiVersion"], each["port"]) for each in response["convertedObjects"]] == [
        ("g/v2", 1),
        ("g/v2", 2),
    ]


def test_an_exception_fails_the_review_with_its_reason_and_is_recorded(
    convert: Learner, capsys: pytest.CaptureFixture[str]
) -> None:
    response = conversion.review(convert, asked("1", "x"))["response"]
    assert response["result"]["status"] == "Failure"
    assert "ValueError for Site a of g/v1" in response["result"]["message"]
    record = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (record["kind"], record["cell"], record["line"]) == ("ValueError", "[3]", 7)


def test_what_is_no_json_fails_the_review(convert: Learner) -> None:
    convert.function = lambda site, wanted: {"made": {1, 2}}
    response = conversion.review(convert, asked("1"))["response"]
    assert response["result"]["status"] == "Failure"


def test_reviews_come_over_tls_and_a_silent_caller_keeps_nobody_out(convert: Learner, tmp_path: Path) -> None:
    authority = Authority("test")
    issued = authority.issue("localhost")
    (tmp_path / "tls.crt").write_text(issued.certificate)
    (tmp_path / "tls.key").write_text(issued.key)
    serving = conversion.server(convert, port=0, directory=tmp_path, address="127.0.0.1")
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    try:
        with socket.create_connection(("127.0.0.1", serving.server_port)):
            request = urllib.request.Request(
                f"https://localhost:{serving.server_port}/convert",
                json.dumps(asked("7")).encode(),
                method="POST",
            )
            context = ssl.create_default_context(cadata=authority.certificate)
            opener = urllib.request.build_opener(
                urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
            )
            with opener.open(request, timeout=5) as response:
                answer = json.load(response)
        assert answer["response"]["convertedObjects"][0]["port"] == 7
    finally:
        serving.shutdown()
        serving.server_close()
        thread.join()
