"""Members on loopback: who may connect, what arrives, what a call that is not answered says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from labsupport.patience import patient
from labsupport.quorum.wire import frames, handshake, tls
from labsupport.quorum.wire.envelope import Codec
from labsupport.quorum.wire.handshake import Hello
from labsupport.quorum.wire.transport import Declined, Peer, Transport, Unreachable
from tests.quorum.wire.certificates import Authority


class Note(msgspec.Struct, frozen=True):
    text: str


class Question(msgspec.Struct, frozen=True):
    text: str


class Answer(msgspec.Struct, frozen=True):
    text: str


KINDS: dict[str, type] = {"note": Note, "question": Question, "answer": Answer}


class Member:
    """A transport that keeps what it gets."""

    def __init__(
        self, number: int, files: tls.Files, *, protocols: tuple[int, int] = (1, 2), **says: str
    ) -> None:
        self.got: list[tuple[int, Any]] = []
        self.number = number
        self.port = 0
        self.hello = Hello(
            says.get("cluster", "uid"), number, says.get("name", f"demo-{number}"), "1.1", *protocols
        )
        self.transport = Transport(
            self.hello, Codec(KINDS), files, ("ns", "demo"), lambda *got: self.got.append(got), self.answer
        )

    async def answer(self, sender: int, question: Any) -> Any:
        if question.text == "no":
            raise Declined("not today")
        if question.text == "slow":
            await asyncio.sleep(60)
        if question.text == "broken":
            raise ValueError("a bug")
        return Answer(f"{question.text} from {sender}")

    async def start(self) -> None:
        self.port = await self.transport.start("127.0.0.1", self.port)

    def knows(self, *others: Member) -> None:
        peers = {
            each.number: Peer(each.number, f"demo-{each.number}", "127.0.0.1", each.port) for each in others
        }
        self.transport.set_peers(peers)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(patient(10)):
        while not condition():
            await asyncio.sleep(0.005)


def run(work: Callable[..., Awaitable[None]], *members: Member) -> None:
    async def all_of_it() -> None:
        for member in members:
            await member.start()
        try:
            await work(*members)
        finally:
            for member in members:
                await member.transport.stop()

    asyncio.run(all_of_it())


def connected(member: Member, other: int) -> bool:
    return member.transport.connections()[other].connected


def problem(member: Member, other: int) -> str:
    return member.transport.connections()[other].problem


def test_messages_and_calls(authority: Authority) -> None:
    async def work(one: Member, two: Member) -> None:
        one.knows(two)
        two.knows(one)
        await until(lambda: connected(one, 2) and connected(two, 1))
        assert one.transport.connections()[2].agreed == 2
        for number in range(100):
            one.transport.send(2, Note(str(number)))
        await until(lambda: len(two.got) == 100)
        assert [message.text for _, message in two.got] == [str(number) for number in range(100)]
        assert await one.transport.call(2, Question("well"), 5) == Answer("well from 1")
        with pytest.raises(Declined, match="not today"):
            await one.transport.call(2, Question("no"), 5)
        with pytest.raises(Declined, match="a bug"):
            await one.transport.call(2, Question("broken"), 5)
        with pytest.raises(Unreachable, match="did not answer within"):
            await one.transport.call(2, Question("slow"), 0.05)
        with pytest.raises(Unreachable, match="no peer"):
            await one.transport.call(3, Question("well"), 5)

    run(work, Member(1, authority.issue("demo-1")), Member(2, authority.issue("demo-2")))


def test_a_peer_that_goes_and_comes_back(authority: Authority) -> None:
    files = authority.issue("demo-2")

    async def work(one: Member, two: Member) -> None:
        one.knows(two)
        two.knows(one)
        await until(lambda: connected(one, 2) and connected(two, 1))
        waiting = asyncio.ensure_future(one.transport.call(2, Question("slow"), 60))
        await asyncio.sleep(0)
        await two.transport.stop()
        with pytest.raises(Unreachable):
            await waiting
        await until(lambda: not connected(one, 2))
        assert "demo-2" in problem(one, 2)
        again = Member(2, files)
        again.port = two.port
        await again.start()
        again.knows(one)
        try:
            await until(lambda: connected(one, 2) and connected(again, 1))
            one.transport.send(2, Note("back"))
            await until(lambda: again.got)
        finally:
            await again.transport.stop()

    run(work, Member(1, authority.issue("demo-1")), Member(2, files))


def test_no_common_version_is_said_on_both_sides(authority: Authority) -> None:
    async def work(one: Member, two: Member) -> None:
        one.knows(two)
        two.knows(one)
        await until(lambda: "none in common" in problem(one, 2) and "none in common" in problem(two, 1))
        assert not connected(one, 2)

    old = Member(1, authority.issue("demo-1"), protocols=(1, 1))
    run(work, old, Member(2, authority.issue("demo-2"), protocols=(2, 3)))


def test_a_volume_that_was_lost_is_another_member(authority: Authority) -> None:
    async def work(one: Member, two: Member) -> None:
        one.transport.set_peers({7: Peer(7, "demo-2", "127.0.0.1", two.port)})
        await until(lambda: "is member 2 now, not 7" in problem(one, 7))

    run(work, Member(1, authority.issue("demo-1")), Member(2, authority.issue("demo-2")))


@pytest.mark.parametrize(
    "case", ["foreign authority", "another Quorum's", "two names", "no name", "another's name"]
)
def test_who_is_no_member_is_not_heard(case: str, authority: Authority, foreign: Authority) -> None:
    ours = tls.identity("ns", "demo", "demo-2")
    files = {
        "foreign authority": lambda: foreign.issue("demo-2"),
        "another Quorum's": lambda: authority.issue("demo-2", uris=[tls.identity("ns", "other", "demo-2")]),
        "two names": lambda: authority.issue("demo-2", uris=[ours, tls.identity("ns", "demo", "demo-3")]),
        "no name": lambda: authority.issue("demo-2", uris=[]),
        "another's name": lambda: authority.issue("demo-3"),
    }[case]()
    trusting = tls.Files(files.key, files.certificate, authority.file)

    async def work(one: Member, two: Member) -> None:
        two.knows(one)
        one.knows(two)
        # What it would send is let through as far as it goes: past the greeting of an honest member.
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port, ssl=tls.client(trusting))
        writer.write(frames.pack(handshake.encode(two.hello), 0))
        writer.write(frames.pack(Codec(KINDS).encode(Note("forged")), 2))
        with pytest.raises((asyncio.IncompleteReadError, ssl.SSLError, ConnectionError)):
            await reader.readexactly(1 << 20)
        writer.close()
        await until(lambda: problem(one, 2) != "not yet connected")
        assert not connected(one, 2)
        assert one.got == []

    run(work, Member(1, authority.issue("demo-1")), Member(2, trusting))


def test_without_a_certificate_nobody_is_heard(authority: Authority) -> None:
    async def work(one: Member) -> None:
        context = ssl.create_default_context(cafile=authority.file)
        context.check_hostname = False
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port, ssl=context)
        writer.write(frames.pack(handshake.encode(Hello("uid", 2, "demo-2", "1.1", 1, 2)), 0))
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()

    run(work, Member(1, authority.issue("demo-1")))


def test_a_certificate_is_renewed_without_closing(authority: Authority) -> None:
    files = authority.issue("demo-2")

    async def work(one: Member, two: Member) -> None:
        one.knows(two)
        await until(lambda: connected(one, 2))
        before = files.certificate.read_bytes()
        authority.issue("demo-2")
        assert files.certificate.read_bytes() != before
        two.transport.renew()
        one.transport.send(2, Note("still open"))
        await until(lambda: two.got)
        _reader, writer = await asyncio.open_connection(
            "127.0.0.1", two.port, ssl=tls.client(authority.issue("demo-1"))
        )
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert ssl.DER_cert_to_PEM_cert(shown).encode() == files.certificate.read_bytes()
        writer.close()

    run(work, Member(1, authority.issue("demo-1")), Member(2, files))


def test_faults_lose_and_delay(authority: Authority) -> None:
    async def work(one: Member, two: Member) -> None:
        one.knows(two)
        await until(lambda: connected(one, 2))
        one.transport.faults = lambda member, message: {"lost": None, "late": 0.05}.get(message.text, 0.0)
        for text in ("lost", "late", "now"):
            one.transport.send(2, Note(text))
        await until(lambda: len(two.got) == 2)
        assert [message.text for _, message in two.got] == ["now", "late"]

    run(work, Member(1, authority.issue("demo-1")), Member(2, authority.issue("demo-2")))


def test_a_member_that_does_not_read_holds_nobody_up(authority: Authority) -> None:
    async def work(one: Member, two: Member) -> None:
        one.transport.set_peers(
            {2: Peer(2, "demo-2", "127.0.0.1", two.port), 3: Peer(3, "demo-3", "127.0.0.1", 1)}
        )
        await until(lambda: connected(one, 2))
        for number in range(10_000):
            one.transport.send(3, Note(str(number)))
        one.transport.send(2, Note("through"))
        await until(lambda: two.got)

    run(work, Member(1, authority.issue("demo-1")), Member(2, authority.issue("demo-2")))
