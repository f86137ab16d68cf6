"""A member's volume: made once, one process at a time, and refused where it is not a whole one of ours."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from labsupport.quorum.disk import VolumeError, open_volume


def test_who_a_member_is_is_made_once(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        first = open_volume(tmp_path / "a")
    finally:
        os.umask(before)
    assert (tmp_path / "a/member.secret").stat().st_mode & 0o777 == 0o600
    assert first.seed.hex() not in repr(first)
    with pytest.raises(VolumeError, match="vote twice"):
        open_volume(tmp_path / "a")
    first.close()
    again, other = open_volume(tmp_path / "a"), open_volume(tmp_path / "b")
    assert (again.id, again.seed) == (first.id, first.seed)
    assert other.id != first.id
    assert again.enter(b"session")
    assert not again.enter(b"session"), "in an earlier life"
    assert again.enter(b"another")
    again.close()
    other.close()


def test_what_is_no_whole_volume_of_ours_is_refused(tmp_path: Path) -> None:
    open_volume(tmp_path).close()
    secret = tmp_path / "member.secret"
    whole = secret.read_bytes()
    secret.chmod(0o644)
    with pytest.raises(VolumeError, match=r"0644.*add a new one"):
        open_volume(tmp_path)
    secret.chmod(0o600)
    secret.write_bytes(whole[:-1])
    with pytest.raises(VolumeError, match="damaged"):
        open_volume(tmp_path)
    secret.write_bytes(msgspec.msgpack.encode({**msgspec.msgpack.decode(whole), "version": 2}))
    with pytest.raises(VolumeError, match="version 2"):
        open_volume(tmp_path)
    secret.unlink()
    (tmp_path / "raft/wal-1").touch()
    with pytest.raises(VolumeError, match="not a member's whole volume"):
        open_volume(tmp_path)
