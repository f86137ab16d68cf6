"""What the files of subordinate ids give a user, and what is said of one who lacks them."""

from __future__ import annotations

import pytest

from labsupport.cluster.embedded import subids
from labsupport.cluster.embedded.subids import Line, Setup

GOOD = "ada:100000:65536\n"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ()),
        ("ada:100000:65536", (Line("ada", 100_000, 65_536),)),
        ("ada:100000:65536\n1000:300000:10\n", (Line("ada", 100_000, 65_536), Line("1000", 300_000, 10))),
        ("# ada:1:2\n#ada:1:2\n\n", (Line("# ada", 1, 2), Line("#ada", 1, 2))),  # the owner of none
        (" ada : 100000 : 65536 ", (Line("ada", 100_000, 65_536),)),
        ("ada:100000\nada:x:1\nada:-1:1\nada:1:2:3\n:1:2\nada\n\x00", ()),
    ],
)
def test_lines_that_are_well_formed_are_read_and_nothing_else(text: str, lines: tuple[Line, ...]) -> None:
    assert subids.parse(text) == lines


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (GOOD, 100_000),
        ("1000:200000:65535\n", 200_000),  # by number, and exactly as many as are needed
        ("bob:100000:65536\nada:165536:65536\n", 165_536),
        ("ada:100000:1000\nada:500000:65536\nada:700000:65536\n", 500_000),  # the first that is enough
        ("#ada:1:65536\nnonsense\nada:100000:65536\n", 100_000),
    ],
)
def test_a_user_has_the_first_line_that_is_enough(text: str, first: int) -> None:
    assert subids.setup("ada", 1000, (text, "ada:9000000:65536"), ()) == Setup(uid=first, gid=9_000_000)


@pytest.mark.parametrize(
    ("texts", "missing", "lacking", "fix"),
    [
        ((GOOD, GOOD), ("newuidmap", "newgidmap"), "no newuidmap and no newgidmap", "apt-get install uidmap"),
        (
            (GOOD, ""),
            (),
            "/etc/subgid gives ada none",
            "--add-subuids 165536-231071 --add-subgids 165536-231071 ada",
        ),
        (("", ""), (), "/etc/subuid gives ada none; /etc/subgid", "--add-subuids 100000-165535"),
        (("10001:100000:65536\nadam:1:65536", GOOD), (), "/etc/subuid gives ada none", "usermod"),  # others'
        (("ada:100000:65534", GOOD), (), "/etc/subuid gives ada 65534, 65535 are needed", "usermod"),
        (("ada:100000:40000\nada:140000:40000", GOOD), (), "/etc/subuid gives ada 40000", "180000-245535"),
        (("", ""), ("newuidmap",), "there is no newuidmap", "apt-get install uidmap && sudo usermod"),
    ],
)
def test_what_lacks_is_said_with_the_step_that_mends_it(
    texts: tuple[str, str], missing: tuple[str, ...], lacking: str, fix: str
) -> None:
    found = subids.setup("ada", 1000, texts, missing)
    assert lacking in found.lacking
    assert fix in found.fix
    assert (found.uid, found.gid) == (0, 0)


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("bob:165535:65536", ()),  # the first one after
        ("bob:165534:65536", ("bob",)),
        ("bob:34464:65536", ()),
        ("bob:34464:65537\n1001:150000:1\n", ("bob", "1001")),
        ("1000:100000:65536\nada:100000:65536", ()),  # said twice
    ],
)
def test_who_shares_ids_is_noticed(text: str, others: tuple[str, ...]) -> None:
    assert subids.shared_with(subids.parse(GOOD + text), 100_000, "ada", 1000) == others


def test_a_user_without_an_account_can_have_none() -> None:
    found = subids.setup("", 64_010, ("64010:100000:65536", "64010:100000:65536"), ())
    assert "64010 has no account" in found.lacking
    assert subids.account_of(4_000_000_000) == ""


def test_files_that_are_not_there_give_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = {name: path.with_name("not-there") for name, path in subids.FILES.items()}
    monkeypatch.setattr(subids, "FILES", nowhere)
    assert subids.of_this_user().lacking
