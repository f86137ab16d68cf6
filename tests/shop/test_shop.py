"""The shop's services together, over real sockets: who is called, what faults do, how an end looks from outside."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from labsupport.shop import load, orders
from labsupport.shop.client import Call, Client, NoAnswer, NotSent
from labsupport.shop.faults import Faults
from labsupport.shop.inventory import inventory
from labsupport.shop.payments import Payments
from labsupport.shop.server import Handle, Service
from labsupport.shop.web import Web

Start = Callable[[str, Handle], Service]


@contextmanager
def served(name: str, handle: Handle) -> Iterator[Service]:
    service = Service(name, handle, 0)
    thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield service
    service.stop()
    thread.join()


def url(service: Service) -> str:
    return f"http://127.0.0.1:{service.server_port}"


@pytest.fixture
def start() -> Iterator[Start]:
    entered: list[AbstractContextManager[Service]] = []

    def begin(name: str, handle: Handle) -> Service:
        context = served(name, handle)
        entered.append(context)
        return context.__enter__()

    yield begin
    for context in reversed(entered):
        context.__exit__(None, None, None)


def test_a_purchase_passes_all_four(start: Start) -> None:
    payments, stock = start("payments", Payments()), start("inventory", inventory)
    taker = start("orders", orders.Orders(Client(url(stock)), Client(url(payments))))
    front = Client(url(start("web", Web(Client(url(taker))))))
    bought = front.send(Call("GET", "/buy/tea"))
    assert bought.status == 201
    assert bought.content["order"]["charge"]["service"] == "payments"
    assert bought.content["order"]["stock"]["left"] == 1000
    assert front.send(Call("GET", "/buy/gold")).status == 409
    payments.faults.change({"pattern": "503"})
    assert front.send(Call("GET", "/buy/tea")).status == 502
    front.close()


def test_a_known_key_charges_once_even_if_the_answer_was_lost(start: Start) -> None:
    service = start("payments", Payments())
    client = Client(url(service))
    service.faults.change({"pattern": "lost ok"})
    call = Call("POST", "/charges", {"order": "a", "amount": 3}, key="a")
    with pytest.raises(NoAnswer):
        client.send(call)
    assert client.send(call).content["repeated"] is True
    service.faults.change({"pattern": ""})
    assert client.send(Call("GET", "/ledger")).content["charges"] == 1
    client.close()


def test_without_a_key_it_charges_again(start: Start) -> None:
    client = Client(url(start("payments", Payments())))
    for _ in range(2):
        client.send(Call("POST", "/charges", {"order": "a", "amount": 3}))
    assert client.send(Call("GET", "/ledger")).content["twice"] == ["a"]
    client.close()


def test_nobody_there_is_not_sent() -> None:
    with served("web", Web()) as service:
        port = service.server_port
    with pytest.raises(NotSent):
        Client(f"http://127.0.0.1:{port}").send(Call("GET", "/"))


def test_kept_connections_are_used_again_and_dropped_ones_are_noticed(start: Start) -> None:
    service = start("web", Web())
    client = Client(url(service))
    for _ in range(3):
        client.send(Call("GET", "/"))
    assert service.counters.as_dict()["connections"]["opened"] == 1
    client.close()
    fresh = Client(url(service), keep=False)
    for _ in range(3):
        fresh.send(Call("GET", "/"))
    assert service.counters.as_dict()["connections"]["opened"] == 4


def test_load_counts_pods_connections_and_latencies(start: Start) -> None:
    service = start("web", Web())
    service.faults.change({"latency_ms": 5})
    result = load.generate(load.Plan(url(service), connections=3, requests=30))
    assert (result["ok"], result["opened"], sum(result["by_pod"].values())) == (30, 3, 30)
    assert len(result["latency_ms"]) == 30
    assert min(result["latency_ms"]) >= 5
    anew = load.generate(load.Plan.read({"url": url(service), "requests": "4", "keep": "false"}))
    assert anew["opened"] == 4
    with pytest.raises(ValueError, match="no such setting: speed"):
        load.Plan.read({"url": url(service), "speed": 1})


def test_a_late_start_counts_from_when_it_was_due(start: Start) -> None:
    service = start("web", Web())
    service.faults.change({"latency_ms": 50})
    result = load.generate(load.Plan(url(service), requests=5, rate=100))
    assert result["latency_ms"][-1] > 150  # due after 40 ms, answered after 250


def test_an_end_cuts_no_answer_and_no_wait() -> None:
    service = Service("web", Web(), 0)
    serving = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    service.faults.change({"latency_ms": 300})
    waiting = http.client.HTTPConnection("127.0.0.1", service.server_port, timeout=5)
    waiting.connect()
    busy = http.client.HTTPConnection("127.0.0.1", service.server_port, timeout=5)
    busy.request("GET", "/slow")
    deadline = time.monotonic() + 2
    while not service.busy and time.monotonic() < deadline:
        time.sleep(0.005)
    began = time.monotonic()
    service.stop()
    answer = busy.getresponse()
    assert (answer.status, answer.getheader("Connection")) == (200, "close")
    assert json.loads(answer.read())["path"] == "/slow"
    assert time.monotonic() - began < 2
    assert waiting.sock.recv(1) == b""
    serving.join()
    waiting.close()
    busy.close()


def test_counters_are_what_prometheus_reads(start: Start) -> None:
    service = start("web", Web())
    client = Client(url(service))
    client.send(Call("GET", "/"))
    text = client.send(Call("GET", "/metrics")).content["text"]
    assert 'shop_requests_total{service="web",version="1",code="200"} 1' in text
    assert 'le="+Inf"} 1' in text
    client.close()


@pytest.mark.parametrize(
    "values",
    [{"speed": 1}, {"latency_ms": -1}, {"error_rate": 2}, {"pattern": "ok maybe"}, {"pattern": "200"}],
)
def test_unknown_faults_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"fault|delays|pattern"):
        Faults().changed(values)
