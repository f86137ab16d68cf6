"""The replicated state machine: what each command does, and that equal logs give equal states."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labsupport.quorum import commands, store
from labsupport.quorum.commands import (
    Admit,
    Command,
    Conflict,
    Delete,
    Dismiss,
    Done,
    Put,
    Refused,
    Restore,
    Session,
    SetProtocol,
    StartCeremony,
)
from labsupport.quorum.keys.dkg import plan
from labsupport.quorum.keys.identity import Identity
from labsupport.quorum.state import Key
from labsupport.quorum.store import Store


def do(machine: Store, *listed: Command) -> list[Any]:
    return [machine.apply(machine.state.index + 1, commands.encode(each)) for each in listed]


def identity(number: int) -> bytes:
    public = Identity(1, bytes([number]) * 32).member
    return public.verifying_key + public.sealing_key.encode()


def test_values_and_revisions() -> None:
    machine = Store()
    assert do(machine, Put("a", b"1"), Put("b", b"2"), Put("a", b"3")) == [Done(1), Done(2), Done(3)]
    assert machine.state.values["a"].revision == 3
    assert do(machine, Put("a", b"4", expected=2), Put("a", b"4", expected=3)) == [Conflict(3), Done(4)]
    assert do(machine, Put("c", b"", expected=0), Put("c", b"", expected=0)) == [Done(5), Conflict(5)]
    assert do(machine, Delete("a"), Delete("a")) == [Done(6), Done(6)]
    assert "a" not in machine.state.values


def test_a_write_is_done_once_whatever_comes_between() -> None:
    machine = Store()
    first = Put("a", b"1", session=Session("me", 1))
    assert do(machine, first, Put("a", b"other"), first) == [Done(1), Done(2), Done(1)]
    assert machine.state.values["a"].value == b"other"
    assert isinstance(do(machine, Put("a", b"2", session=Session("me", 2)), first)[1], Refused)


def test_clients_that_are_silent_for_longest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SESSIONS", 2)
    machine = Store()
    for client in ("a", "b", "a", "c"):
        sequence = 2 if client == "a" and "a" in machine.state.sessions else 1
        do(machine, Put("k", b"", session=Session(client, sequence)))
    assert list(machine.state.sessions) == ["a", "c"]
    again = Store(machine.snapshot())
    do(again, Put("k", b"", session=Session("d", 1)))
    assert list(again.state.sessions) == ["c", "d"], "a snapshot keeps the order"


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Store()
    assert [
        type(each) for each in do(machine, Put("", b""), Put("k" * 1025, b""), Put("k", bytes(65537)))
    ] == [Refused] * 3
    monkeypatch.setattr(store, "STORE_LIMIT", 10)
    assert do(machine, Put("abc", b"1234567")) == [Done(1)]
    (full,) = do(machine, Put("d", b""))
    assert "delete something" in full.reason
    assert do(machine, Put("abc", b"12"), Put("d", b"4")) == [Done(2), Done(3)]
    assert machine.state.size == 7
    assert do(machine, Delete("abc"), Delete("d"))[1] == Done(5)
    assert machine.state.size == 0


def test_members_and_their_numbers() -> None:
    machine = Store()
    assert do(machine, Admit(7, "q-0", identity(1)), Admit(7, "q-0", identity(1))) == [Done(0)] * 2
    assert isinstance(do(machine, Admit(7, "q-0", identity(2)))[0], Refused)
    do(machine, Admit(8, "q-1", identity(2)), Dismiss(7), Admit(9, "q-0", identity(3)))
    assert {member: each.number for member, each in machine.state.members.items()} == {8: 2, 9: 3}
    machine.state.numbers = store.NUMBERS
    assert "new one from a back-up" in do(machine, Admit(10, "q-2", identity(4)))[0].reason


def test_what_a_member_was_blamed_for_goes_with_it() -> None:
    machine = Store()
    do(machine, Admit(7, "q-0", identity(1)), Admit(8, "q-1", identity(2)))
    machine.state.key = Key("ready", blamed=((1, "Silence"), (1, "FalseComplaint"), (2, "Silence")))
    do(machine, Dismiss(7))
    assert machine.state.key.blamed == ((2, "Silence"),)


def test_the_protocol_is_never_lowered() -> None:
    machine = Store()
    results = do(machine, SetProtocol(2), SetProtocol(2), SetProtocol(1), SetProtocol(9))
    assert [type(each) for each in results] == [Done, Done, Refused, Refused]
    assert machine.state.protocol == 2


def test_a_back_up_goes_into_an_empty_store() -> None:
    machine = Store()
    saved = Restore("nightly", {"a": (b"1", 4), "b": (b"22", 9)}, 9)
    assert do(machine, saved, saved) == [Done(9), Done(9)]
    assert (machine.state.size, machine.state.values["b"].revision) == (5, 9)
    assert isinstance(do(machine, Restore("other", {}, 1))[0], Refused)
    used = Store()
    do(used, Put("a", b""))
    assert isinstance(do(used, saved)[0], Refused)


def test_what_is_no_plan_begins_no_ceremony() -> None:
    machine = Store()
    members = [Identity(number, bytes([number]) * 32).member for number in (1, 2, 3)]
    good = plan(members, 2)
    assert "does not have" in do(machine, StartCeremony("x", good.to_bytes()))[0].reason
    assert "no plan" in do(machine, StartCeremony("x", b"\x90"))[0].reason
    for number in (1, 2, 3):
        do(machine, Admit(number, f"q-{number}", identity(number)))
    assert (
        do(machine, StartCeremony("x", good.to_bytes()), StartCeremony("x", plan(members, 2).to_bytes()))
        == [Done(0)] * 2
    )
    assert machine.state.ceremony is not None
    assert machine.state.ceremony.plan == good.to_bytes(), "one that is under way is not begun again"
    assert "under way" in do(machine, StartCeremony("y", good.to_bytes()))[0].reason


def test_an_unknown_command_stops_the_member() -> None:
    with pytest.raises(msgspec.ValidationError):
        Store().apply(1, msgspec.msgpack.encode({"type": "of-the-future"}))


KEYS = st.sampled_from("abc")
SESSIONS = st.none() | st.builds(Session, st.sampled_from("xy"), st.integers(1, 4))
COMMANDS = st.one_of(
    st.builds(Put, KEYS, st.binary(max_size=3), st.none() | st.integers(0, 5), SESSIONS),
    st.builds(Delete, KEYS, SESSIONS),
    st.builds(SetProtocol, st.integers(0, 4)),
    st.builds(Admit, st.integers(1, 3), st.just("q"), st.sampled_from([identity(1), identity(2)])),
    st.builds(Restore, KEYS, st.just({}), st.integers(0, 3)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(COMMANDS, max_size=30), st.integers(0, 30))
def test_equal_logs_give_equal_states_by_way_of_a_snapshot_too(listed: list[Command], cut: int) -> None:
    one, other = Store(), Store()
    results = do(one, *listed)
    again = do(other, *listed[:cut])
    other = Store(other.snapshot())
    assert again + do(other, *listed[cut:]) == results
    assert one.snapshot() == other.snapshot()
    assert one.state.digest == other.state.digest
    size = sum(len(key.encode()) + len(value.value) for key, value in one.state.values.items())
    assert one.state.size == size
