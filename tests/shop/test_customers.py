"""Customers: what they count, and what they complain of."""

from __future__ import annotations

import threading

from labsupport.shop import customers
from labsupport.shop.web import serve


def run(answers: list[str]) -> tuple[customers.Customers, list[str]]:
    said: list[str] = []
    left = iter(answers)
    who = customers.Customers(lambda: next(left), said.append, lambda: said.append("served"))
    for _ in answers:
        who.once()
    return who, said


def test_a_complaint_is_made_once() -> None:
    who, said = run(["", "refused", "", "reset", "reset"])
    assert said == ["served", "refused"]
    assert (who.answered, who.failed) == (2, 3)


def test_who_was_never_served_complains_of_nothing() -> None:
    who, said = run(["refused", "refused", ""])
    assert said == ["served"]
    assert (who.answered, who.failed) == (1, 0)


def test_a_request_is_answered_refused_or_lost() -> None:
    service = serve(0)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{service.server_port}"
    assert customers.ask(f"{url}/tea") == ""
    service.faults.change({"pattern": "503"})
    assert customers.ask(f"{url}/tea") == "status 503"
    service.shutdown()
    service.server_close()
    assert "refused" in customers.ask(f"{url}/tea")


def test_they_come_until_they_are_told_to_go() -> None:
    lines: list[str] = []
    who = customers.Customers(lambda: who.stop.set() or "", lambda trouble: None, lambda: None)  # type: ignore[func-returns-value]
    who.run(1000, lines.append)
    assert lines == ["1 answered, 0 failed; going"]
