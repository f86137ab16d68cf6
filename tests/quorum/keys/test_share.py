from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from labsupport.quorum.keys import share
from labsupport.quorum.keys.frost import KeyPackage
from labsupport.quorum.keys.share import ShareError
from tests.quorum.keys.test_frost import dealt


@pytest.fixture
def key() -> KeyPackage:
    return dealt(2, 3)[1]


def test_a_share_comes_back_and_only_its_owner_may_read_it(tmp_path: Path, key: KeyPackage) -> None:
    before = os.umask(0)  # so that nothing but our own mode keeps others out
    try:
        path = share.save(tmp_path, key)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert share.load(tmp_path, 1) == key
    assert sorted(each.name for each in tmp_path.iterdir()) == ["epoch-1.share"]


def test_the_mode_is_there_before_the_secret_is(
    tmp_path: Path, key: KeyPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others could see at any moment: modes are looked at whenever something is flushed or renamed."""
    seen: list[tuple[str, int]] = []
    flush = os.fsync

    def look(descriptor: int) -> None:
        seen.extend((each.name[:1], stat.S_IMODE(each.stat().st_mode)) for each in tmp_path.iterdir())
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    share.save(tmp_path, key)
    # First the file beside is flushed under its hidden name, then the directory, with the file in place.
    assert seen == [(".", 0o600), ("e", 0o600)]


@pytest.mark.parametrize("step", ["write", "flush", "rename"])
def test_a_failure_leaves_what_was_there_and_no_secret_beside(
    tmp_path: Path, key: KeyPackage, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    share.save(tmp_path, key)
    before = (tmp_path / "epoch-1.share").read_bytes()

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if step == "write":
        monkeypatch.setattr(share._StoredShare, "to_bytes", fails)
    elif step == "flush":
        monkeypatch.setattr(os, "fsync", fails)
    else:
        monkeypatch.setattr(Path, "replace", fails)
    for each in (key, dealt(2, 3)[1]):
        newer = replace(each, public=type(each.public)(2, 2, each.public.key, each.public.shares))
        with pytest.raises(OSError, match="No space"):
            share.save(tmp_path, newer)
    monkeypatch.undo()
    assert [each.name for each in tmp_path.iterdir()] == ["epoch-1.share"]
    assert (tmp_path / "epoch-1.share").read_bytes() == before


def test_what_a_killed_writer_left_is_removed(tmp_path: Path, key: KeyPackage) -> None:
    (tmp_path / ".epoch-1.share.0123").write_bytes(b"half")
    share.save(tmp_path, key)
    assert [each.name for each in tmp_path.iterdir()] == ["epoch-1.share"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610, 0o620])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, key: KeyPackage, mode: int) -> None:
    share.save(tmp_path, key).chmod(mode)
    with pytest.raises(ShareError, match=rf"has mode {mode:04o}; only user .* hand the key on"):
        share.load(tmp_path, 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path, key: KeyPackage) -> None:
    os.chown(share.save(tmp_path, key), 12345, -1)
    with pytest.raises(ShareError, match="belongs to user 12345"):
        share.load(tmp_path, 1)


def test_what_is_no_file_is_refused(tmp_path: Path, key: KeyPackage) -> None:
    path = share.save(tmp_path, key)
    path.rename(tmp_path / "elsewhere")
    with pytest.raises(ShareError, match=r"There is no .*right epoch"):
        share.load(tmp_path, 1)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ShareError, match="cannot be opened"):
        share.load(tmp_path, 1)
    path.unlink()
    os.mkfifo(path, 0o600)  # must not wait for a writer
    with pytest.raises(ShareError, match="no regular file"):
        share.load(tmp_path, 1)


def rewrite(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)


def test_damage_is_found_and_never_shown(tmp_path: Path, key: KeyPackage) -> None:
    path = share.save(tmp_path, key)
    good = path.read_bytes()
    assert key.share.encode() in good
    for position in range(len(good)):
        rewrite(path, good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(ShareError) as caught:
            share.load(tmp_path, 1)
        assert key.share.encode().hex() not in str(caught.value)
        assert repr(key.share.encode())[2:-1] not in str(caught.value)
    for size in (0, 10, len(good) - 1):
        rewrite(path, good[:size])
        with pytest.raises(ShareError, match=r"Keep it aside|Another version"):
            share.load(tmp_path, 1)
    identifier = good.replace(b"\xa5share\x01", b"\xa5share\x02")  # well formed, and not its share
    body = identifier[len(share.HEADER) + 32 :]
    rewrite(path, share.HEADER + hashlib.sha256(body).digest() + body)
    with pytest.raises(ShareError, match="not the share of member 2"):
        share.load(tmp_path, 1)
    for data in (good + b"\0", good + bytes(share.LIMIT)):
        rewrite(path, data)
        with pytest.raises(ShareError):
            share.load(tmp_path, 1)
    rewrite(path, good.replace(b"format 1", b"format 2"))
    with pytest.raises(ShareError, match="Another version wrote it"):
        share.load(tmp_path, 1)


def test_epochs_stand_beside_each_other_until_the_old_is_forgotten(tmp_path: Path) -> None:
    keys = {epoch: dealt(2, 3, epoch=epoch)[1] for epoch in (1, 2, 10)}
    for each in keys.values():
        share.save(tmp_path, each)
    assert share.epochs(tmp_path) == (1, 2, 10)
    assert {epoch: share.load(tmp_path, epoch) for epoch in keys} == keys
    share.forget(tmp_path, 10)
    assert share.epochs(tmp_path) == (10,)
    (tmp_path / "epoch-10.share").rename(tmp_path / "epoch-11.share")
    with pytest.raises(ShareError, match="it was renamed"):
        share.load(tmp_path, 11)


def test_two_shares_of_one_epoch_are_a_question_for_people(tmp_path: Path, key: KeyPackage) -> None:
    path = share.save(tmp_path, key)
    before = path.read_bytes()
    share.save(tmp_path, key)  # again is no error: a member that was not sure
    with pytest.raises(ShareError, match="Two ceremonies made one epoch"):
        share.save(tmp_path, dealt(2, 3)[1])
    assert path.read_bytes() == before


def test_what_is_stored_does_not_show_itself(key: KeyPackage) -> None:
    stored, secret = share._StoredShare(1, key.share, key.public), key.share.encode()
    assert secret.hex() not in repr(stored)
    assert repr(secret) not in repr(stored)
