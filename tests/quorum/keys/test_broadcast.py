"""Dolev and Strong: all honest members hear the same, however cheaters time what they say."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labsupport.quorum.keys import broadcast
from labsupport.quorum.keys.broadcast import Broadcast, Bundle, Link, Relay
from labsupport.quorum.keys.identity import BODY, Identity
from labsupport.quorum.keys.wire import MEMBERS, MESSAGE, Bytes32

SESSION: Bytes32 = bytes(32)
Inbox = Mapping[int, list[bytes]]  # what cheaters send to each, in one round


def honest(who: Mapping[int, Identity], members: Mapping[int, Identity], faults: int) -> dict[int, Broadcast]:
    everyone = [each.member for each in members.values()]
    return {
        i: broadcast.begin(each, everyone, SESSION, "deal", faults, b"from %d" % i) for i, each in who.items()
    }


def play(parts: dict[int, Broadcast], cheaters: Mapping[int, Inbox]) -> dict[int, Broadcast]:
    """`cheaters`: what they send in which round."""
    while not all(part.done for part in parts.values()):
        outgoing = {i: part.outgoing for i, part in parts.items()}
        number = next(iter(parts.values())).round
        parts = {
            i: part.advance(
                [
                    *(data for j, data in outgoing.items() if j != i),
                    *cheaters.get(number, {}).get(i, []),
                ]
            )
            for i, part in parts.items()
        }
    return parts


def bodies(part: Broadcast) -> dict[int, tuple[bytes, ...]]:
    return {
        author: tuple(sorted(each.body for each in heard)) for author, heard in sorted(part.heard.items())
    }


def relayed(number: int, body: bytes, author: Identity, *others: Identity) -> bytes:
    links = tuple(
        Link(each.identifier, each.endorse(SESSION, "deal", author.identifier, body))
        for each in (author, *others)
    )
    return Bundle(SESSION, "deal", number, (Relay(author.identifier, body, links),)).to_bytes()


@pytest.fixture(scope="module")
def members() -> dict[int, Identity]:
    return {i: Identity.new(i) for i in range(1, 6)}


def first(members: dict[int, Identity], count: int) -> dict[int, Identity]:
    return {i: members[i] for i in range(1, count + 1)}


def test_all_hear_all(members: dict[int, Identity]) -> None:
    parts = play(honest(members, members, 2), {})
    for part in parts.values():
        assert bodies(part) == {i: (b"from %d" % i,) for i in members}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_two_cheaters_tell_one_member_in_some_round(members: dict[int, Identity], number: int) -> None:
    """The author's deal goes with as many signatures as they have to one member alone; all hear it, or none."""
    says = {number: {1: [relayed(number, b"late", members[5], members[4])]}}
    parts = play(honest(first(members, 3), members, 2), says)
    heard = {part.heard.get(5) is not None for part in parts.values()}
    assert heard == {number < 3}  # in the third round three signatures are needed, and one of them is honest


def test_one_round_fewer_would_not_do(members: dict[int, Identity]) -> None:
    """The attack that the number of rounds is for: made for one cheater, and there are two."""
    says = {2: {1: [relayed(2, b"late", members[5], members[4])]}}
    parts = play(honest(first(members, 3), members, 1), says)
    assert [5 in part.heard for part in parts.values()] == [True, False, False]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whatever_two_cheaters_say_to_whom_and_when(data: st.DataObject) -> None:
    members = {i: Identity.new(i) for i in range(1, 6)}
    cheaters = [members[4], members[5]]
    says: dict[int, dict[int, list[bytes]]] = {}
    for _ in range(data.draw(st.integers(1, 8))):
        author, *others = data.draw(st.permutations(cheaters))
        number, to = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
        body = data.draw(st.sampled_from([b"a", b"b", b"c"]))
        signers = others[: data.draw(st.integers(0, 1))]
        says.setdefault(number, {}).setdefault(to, []).append(relayed(number, body, author, *signers))
    parts = play(honest(first(members, 3), members, 2), says)
    one, *rest = parts.values()
    for other in rest:
        assert bodies(other).keys() == bodies(one).keys()
        for author, heard in bodies(one).items():
            # One value is the same for all; two are equivocation, of whichever values.
            assert bodies(other)[author] == heard or len(bodies(other)[author]) == len(heard) == 2
    assert all(bodies(part)[i] == (b"from %d" % i,) for part in parts.values() for i in (1, 2, 3))


def test_what_does_not_count(members: dict[int, Identity]) -> None:
    parts = honest(first(members, 3), members, 2)
    good = Bundle.from_bytes(relayed(1, b"x", members[5], members[4])).relays[0]
    stranger = Identity.new(9)
    twice = (good.links[1], good.links[1], good.links[0])

    def bundle(relay: Relay, session: bytes = SESSION, number: int = 1) -> bytes:
        return Bundle(session, "deal", number, (relay,)).to_bytes()

    def links(*each: Link) -> Relay:
        return Relay(5, b"x", each)

    refused = [
        b"",
        b"\x94" + bytes(20),
        bytes(MESSAGE + 1),
        bundle(good, bytes(31) + b"1"),
        bundle(good, number=2),
        bundle(links()),
        bundle(links(good.links[1])),  # without the author
        bundle(links(*twice)),
        bundle(links(good.links[0], Link(4, bytes(64)))),
        bundle(links(good.links[0], Link(9, stranger.endorse(SESSION, "deal", 5, b"x")))),
        bundle(Relay(3, b"x", (Link(3, good.links[0].signature),))),
        # What a member has passed on, as if it had said it itself.
        bundle(Relay(4, b"x", (good.links[1],))),
        bundle(Relay(9, b"x", (Link(9, stranger.endorse(SESSION, "deal", 9, b"x")),))),
        bundle(links(Link(5, members[5].endorse(SESSION, "verdict", 5, b"x")))),
        bundle(links(Link(5, members[5].endorse(bytes(31) + b"1", "deal", 5, b"x")))),
    ]
    for data in refused:
        after = parts[1].advance([data])
        assert bodies(after) == {1: (b"from 1",)}
    assert bodies(parts[1].advance([bundle(good)])) == {1: (b"from 1",), 5: (b"x",)}


def test_all_that_honest_members_must_pass_on_fits_into_one_message() -> None:
    """The most members, each saying two of the longest things, signed by all; or cheaters could silence honest ones."""
    links = tuple(Link(i, bytes(64)) for i in range(1, MEMBERS + 1))
    relays = tuple(
        Relay(i, bytes(BODY), links) for i in range(1, MEMBERS + 1) for _ in range(broadcast.VALUES)
    )
    data = Bundle(SESSION, "verdict", MEMBERS, relays).to_bytes()
    assert len(data) <= MESSAGE
    assert Bundle.from_bytes(data).relays == relays
