"""The helper's certificate: when it asks, when again, and what it does when it is told no."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labsupport.mesh.proxy import certificate
from labsupport.mesh.proxy.certificate import Certificate, Keeper, NotGiven, key_and_request
from labsupport.mesh.proxy.settings import Settings

PEM = "-----BEGIN CERTIFICATE-----\n{}\n"
DAY = 86_400.0


class Asking:
    """A keeper whose control plane answers from a list, on a clock that only moves when a test moves it."""

    def __init__(self, directory: Path) -> None:
        self.roots = directory / "roots.pem"
        self.settings = Settings(
            "orders-1", "shop", "u-1", "10.0.0.1", "orders", state=str(directory), roots_file=str(self.roots)
        )
        self.roots.write_text(PEM.format("one"))
        self.now = 1_000_000.0
        self.answers: list[Certificate | Exception] = []
        self.asked: list[str] = []
        self.said: list[str] = []
        self.changed = threading.Condition()
        self.stop = threading.Event()
        self.keeper = Keeper(
            self.settings, report=self.report, asked=self.ask, clock=lambda: self.now, look=0.005
        )
        self.thread = threading.Thread(target=self.keeper.run, args=(self.stop,))

    def ask(self, settings: Settings, roots: str) -> Certificate:
        with self.changed:
            self.asked.append(roots)
            self.changed.notify_all()
            answer = self.answers.pop(0) if self.answers else self.given()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def given(self, roots: str = "one", lasts: float = 3600.0) -> Certificate:
        return Certificate("KEY", f"CHAIN {len(self.asked)}", PEM.format(roots), self.now + lasts)

    def report(self, text: str) -> None:
        with self.changed:
            self.said.append(text)
            self.changed.notify_all()

    def until(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, 5)

    def chain(self) -> str:
        content = json.loads(Path(self.settings.identity_file).read_text())
        return str(content["resources"][0]["tls_certificate"]["certificate_chain"]["inline_string"])


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Asking]:
    made = Asking(tmp_path)
    yield made
    made.stop.set()
    made.thread.join(5)
    assert not made.thread.is_alive()


def test_openssl_makes_a_new_key_and_a_request_for_the_identity() -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    uri = "spiffe://labs.example/ns/shop/sa/orders"
    key, csr = key_and_request(uri)
    request = x509.load_pem_x509_csr(csr.encode())
    assert request.is_signature_valid
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == [uri]
    private = serialization.load_pem_private_key(key.encode(), None)
    assert private.public_key() == request.public_key()
    assert key_and_request(uri)[0] != key


def test_an_openssl_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "OPENSSL", ("openssl", "req", "-nonsense"))
    with pytest.raises(NotGiven, match=r"openssl made no key: .*nonsense"):
        key_and_request("spiffe://labs.example/ns/a/sa/b")


def test_files_are_there_before_it_says_so_and_are_this_users_alone(asking: Asking) -> None:
    asking.thread.start()
    assert asking.keeper.first.wait(5)
    for path in (asking.settings.identity_file, asking.settings.control_trust_file):
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    trust = json.loads(Path(asking.settings.control_trust_file).read_text())["resources"][0]
    assert trust["name"] == "control-trust"
    context = trust["validation_context"]
    assert context["trusted_ca"]["inline_string"] == PEM.format("one")
    assert context["match_typed_subject_alt_names"] == [
        {
            "san_type": "URI",
            "matcher": {"exact": "spiffe://labs.example/ns/labs-system/sa/mesh-control"},
        }
    ]
    assert sorted(path.name for path in Path(asking.settings.state).iterdir()) == [
        "control-trust.json",
        "identity.json",
        "roots.pem",
    ]


def test_it_renews_between_half_and_seven_tenths_of_the_life(asking: Asking) -> None:
    asking.thread.start()
    asking.until(lambda: len(asking.said) == 1)
    asking.now += 1799
    asking.stop.wait(0.05)  # nothing happens, which has no event to wait for
    assert len(asking.asked) == 1
    asking.now += 721
    asking.until(lambda: len(asking.said) == 2)
    assert asking.chain() == "CHAIN 2"
    asking.now += DAY  # asleep with the lid closed: the certificate has ended meanwhile
    asking.until(lambda: len(asking.said) == 3)


def test_another_roots_file_means_another_certificate_at_once(asking: Asking) -> None:
    asking.thread.start()
    asking.until(lambda: len(asking.said) == 1)
    asking.roots.write_text("")  # being written; not a change
    asking.answers = [asking.given("two")]
    asking.roots.write_text(PEM.format("two"))
    asking.until(lambda: len(asking.said) == 2)
    assert asking.asked == [PEM.format("one"), PEM.format("two")]
    trust = json.loads(Path(asking.settings.control_trust_file).read_text())["resources"][0]
    assert trust["validation_context"]["trusted_ca"]["inline_string"] == PEM.format("two")


def test_roots_that_an_answer_brought_are_not_news_when_the_file_has_them(asking: Asking) -> None:
    asking.answers = [asking.given("one\ntwo")]
    asking.thread.start()
    asking.until(lambda: len(asking.said) == 1)
    asking.roots.write_text(PEM.format("one\ntwo"))  # the kubelet brings it later
    asking.stop.wait(0.05)
    assert len(asking.asked) == 1
    asking.now += 3000
    asking.until(lambda: len(asking.said) == 2)
    assert asking.asked[1] == PEM.format("one\ntwo")


def test_a_refusal_is_said_once_and_asked_about_again(asking: Asking) -> None:
    asking.answers = [NotGiven("There is no such Pod. (403)")] * 3 + [ConnectionRefusedError(111, "refused")]
    asking.thread.start()
    asking.until(lambda: len(asking.asked) == 1)
    for count in (2, 3, 4, 5):
        asking.now += 60
        asking.until(lambda count=count: len(asking.asked) == count)
    asking.until(lambda: len(asking.said) == 3)
    assert "There is no such Pod. (403)" in asking.said[0]
    assert "mesh-control.labs-system.svc:15017: [Errno 111] refused" in asking.said[1]
    assert asking.keeper.first.is_set()


def test_the_pauses_grow(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate.random, "uniform", lambda low, high: high)
    asking.answers = [NotGiven("no")] * 4
    asking.thread.start()
    asking.until(lambda: len(asking.asked) == 1)
    for count, pause in ((2, 0.2), (3, 0.4), (4, 0.8)):
        asking.now += pause * 0.9
        asking.stop.wait(0.03)
        assert len(asking.asked) == count - 1
        asking.now += pause * 0.11
        asking.until(lambda count=count: len(asking.asked) == count)


def test_without_roots_nobody_is_asked(asking: Asking) -> None:
    with pytest.raises(NotGiven, match=r"no root certificate in .*roots\.pem"):
        certificate.ask(asking.settings, "")
    asking.thread.start()
