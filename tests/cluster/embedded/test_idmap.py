"""Which map of ids a caller gets, and what is written for it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from labsupport.cluster.embedded import idmap, subids
from labsupport.cluster.embedded.idmap import IdMap
from labsupport.cluster.embedded.subids import Setup


@pytest.mark.parametrize(
    ("uid_map", "covered"),
    [
        ("         0          0 4294967295\n", True),
        ("0 1000 1\n1 100000 65536\n", False),
        (f"0 0 {idmap.ROOT_ID_BASE + idmap.ROOT_ID_COUNT - 1}\n", False),
        ("", False),
    ],
)
def test_covers(uid_map: str, covered: bool) -> None:
    assert idmap.covers(uid_map, idmap.ROOT_ID_BASE, idmap.ROOT_ID_COUNT) is covered


SINGLE = IdMap("single", 1000, 1001, 1)
SUBORDINATE = IdMap("subordinate", 1000, 1001, 1, 100_000, 200_000)
RANGE = IdMap("range", idmap.ROOT_ID_BASE, idmap.ROOT_ID_BASE, idmap.ROOT_ID_COUNT)


@pytest.fixture
def ada(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("os.getegid", lambda: 1001)


@pytest.mark.parametrize(
    ("has", "expected"),
    [(Setup(lacking="there is no newuidmap"), SINGLE), (Setup(uid=100_000, gid=200_000), SUBORDINATE)],
)
def test_an_ordinary_user_maps_himself_and_what_he_was_given(
    ada: None, monkeypatch: pytest.MonkeyPatch, has: Setup, expected: IdMap
) -> None:
    monkeypatch.setattr(subids, "of_this_user", lambda: has)
    mine = idmap.for_this_user()
    assert mine == expected
    assert mine.owner_base is None, "the node's root is the user himself"


@pytest.mark.parametrize(("covered", "expected"), [(True, RANGE), (False, IdMap("single", 0, 1001, 1))])
def test_root_maps_nobody(ada: None, monkeypatch: pytest.MonkeyPatch, covered: bool, expected: IdMap) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(idmap, "covers", lambda *_: covered)
    assert idmap.for_this_user() == expected
    assert RANGE.owner_base == idmap.ROOT_ID_BASE


@pytest.mark.parametrize(
    ("id_map", "uids", "gids", "within"),
    [
        (SINGLE, "0 1000 1", "0 1001 1", "0 0 1"),
        (SUBORDINATE, "0 1000 1\n1 100000 65535", "0 1001 1\n1 200000 65535", "0 0 1\n1 1 65535"),
        (RANGE, "0 2000000000 65536", "0 2000000000 65536", "0 0 65536"),
    ],
)
def test_the_lines_of_a_map(id_map: IdMap, uids: str, gids: str, within: str) -> None:
    assert (id_map.uid_lines(), id_map.gid_lines()) == (uids, gids)
    assert (id_map.inside().uid_lines(), id_map.inside().gid_lines()) == (within, within)


def test_the_commands_that_map_subordinate_ids() -> None:
    assert [" ".join(command) for command in SUBORDINATE.commands(77)] == [
        "newuidmap 77 0 1000 1 1 100000 65535",
        "newgidmap 77 0 1001 1 1 200000 65535",
    ]
    assert SINGLE.commands(77) == RANGE.commands(77) == ()


@pytest.mark.parametrize(
    ("mine", "recorded", "chosen"),
    [
        (SUBORDINATE, None, SUBORDINATE),
        (SINGLE, SINGLE, SINGLE),
        (SUBORDINATE, SINGLE, SINGLE),  # it was made before there were any
        (SUBORDINATE, replace(SINGLE, gid_base=50), SINGLE),  # his group was another one
        (SINGLE, SUBORDINATE, SUBORDINATE),  # whether he still may is found out by trying
        (replace(SUBORDINATE, sub_uid=300_000), SUBORDINATE, SUBORDINATE),
        (RANGE, RANGE, RANGE),
        (RANGE, SINGLE, None),
        (SUBORDINATE, RANGE, None),
        (SUBORDINATE, replace(SUBORDINATE, uid_base=1002), None),
    ],
)
def test_a_cluster_keeps_its_map(mine: IdMap, recorded: IdMap | None, chosen: IdMap | None) -> None:
    assert idmap.to_start_with(mine, recorded) == chosen


def test_a_map_survives_its_file() -> None:
    for id_map in (SINGLE, SUBORDINATE, RANGE):
        assert IdMap(**json.loads(json.dumps(asdict(id_map)))) == id_map
    before_subordinate_ids = {"kind": "single", "uid_base": 1000, "gid_base": 1001, "count": 1}
    assert IdMap(**before_subordinate_ids) == SINGLE  # type: ignore[arg-type]
