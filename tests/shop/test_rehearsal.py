"""A call rehearsed: the script, the clock, what is counted as carried out. And handshakes without a network."""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from labsupport.course.certificates import Authority, Issued
from labsupport.shop.client import Call, NoAnswer, NotSent
from labsupport.shop.handshake import greet
from labsupport.shop.rehearsal import Endless, rehearse

BILL = Call("POST", "/charges", {}, key="k")


def stubborn(request: Call, send: Any, clock: Any) -> Any:
    while True:
        try:
            answer = send(request, 0.5)
            if answer.status < 500:
                return answer
        except (NotSent, NoAnswer):
            pass
        clock.sleep(0.1)


def test_each_word_answers_a_try_in_virtual_time() -> None:
    seen = rehearse(stubborn, BILL, "refused silent lost 503 201")
    assert [each.came for each in seen.tries] == ["refused", "silent", "lost", "503", "201"]
    assert (seen.carried_out, seen.result) == (3, "201")
    assert seen.waits == pytest.approx([0.1] * 4)
    assert seen.ended == pytest.approx(0.4 + 0.5 + 3 * 0.02)
    assert "try 5" in str(seen)


def test_a_short_timeout_misses_the_answer() -> None:
    seen = rehearse(lambda request, send, clock: send(request, 0.001), BILL, "201")
    assert (seen.result, seen.carried_out, seen.tries[0].came) == ("raised NoAnswer", 1, "too late")


def test_nobody_tries_for_ever() -> None:
    with pytest.raises(Endless):
        rehearse(stubborn, BILL, "503")


def test_a_script_has_known_words() -> None:
    with pytest.raises(ValueError, match="refused, lost, silent"):
        rehearse(stubborn, BILL, "perhaps")


def server(issued: Issued, directory: Path) -> ssl.SSLContext:
    path = directory / "both.pem"
    path.write_text(issued.certificate + issued.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context


def test_a_client_that_verifies_takes_the_right_certificate_and_no_other(tmp_path: Path) -> None:
    ours, other = Authority("ours"), Authority("ours")
    client = ssl.create_default_context(cadata=ours.certificate)
    assert greet(client, server(ours.issue("payments", "payments.x"), tmp_path), "payments") == ""
    assert "Hostname mismatch" in greet(client, server(ours.issue("inventory"), tmp_path), "payments")
    for stranger in (other.issue("payments"), ours.issue("payments", signer=other)):
        assert greet(client, server(stranger, tmp_path), "payments").startswith("refused")
    old = ours.issue("payments", since=timedelta(days=-2), until=timedelta(days=-1))
    assert "expired" in greet(client, server(old, tmp_path), "payments")
