"""Archives: the same bytes for the same content, and nothing unpacked that they should not hold."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from labsupport.cluster.bundle import archive

LIMIT = 1 << 20
Change = Callable[[tarfile.TarInfo], None]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/tool").write_bytes(b"tool" * 1000)
    (root / "usr/bin/tool").chmod(0o755)
    (root / "bin").symlink_to("usr/bin")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "locked").mkdir()
    (root / "locked/file").write_text("x")
    (root / "locked").chmod(0o555)
    (root / "cache").write_text("not content")
    return root


def unpack(source: Path, target: Path, limit: int = LIMIT) -> None:
    target.mkdir()
    with source.open("rb") as file:
        archive.unpack_tree(file, target, limit=limit)


def test_a_tree_comes_back_with_modes_and_links(tree: Path, tmp_path: Path) -> None:
    archive.write_tree(tmp_path / "a.tar.gz", tree, leave_out=frozenset({"cache"}))
    unpack(tmp_path / "a.tar.gz", tmp_path / "back")
    back = tmp_path / "back"
    assert (back / "usr/bin/tool").read_bytes() == b"tool" * 1000
    assert stat.S_IMODE((back / "usr/bin/tool").stat().st_mode) == 0o755
    assert (back / "bin").readlink() == Path("usr/bin")
    assert stat.S_IMODE((back / "tmp").stat().st_mode) == 0o1777
    assert stat.S_IMODE((back / "locked").stat().st_mode) == 0o555
    assert (back / "locked/file").read_text() == "x"
    assert not (back / "cache").exists()


def test_equal_trees_give_equal_bytes(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.write_tree(tmp_path / "a.tar.gz", tree)
    monkeypatch.setattr("time.time", lambda: 1.0)
    for path in [*tree.rglob("*"), tree]:
        if not path.is_symlink():
            os.utime(path, (1, 1))
    archive.write_tree(tmp_path / "b.tar.gz", tree)
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    assert b"tree" not in (tmp_path / "a.tar.gz").read_bytes()[:64]  # nor the name of where it was written


def test_set_user_id_and_owners_are_not_written(tree: Path, tmp_path: Path) -> None:
    (tree / "usr/bin/tool").chmod(0o4755)
    archive.write_tree(tmp_path / "a.tar.gz", tree)
    with tarfile.open(tmp_path / "a.tar.gz") as written:
        for member in written:
            assert (member.uid, member.gid) == (0, 0)
            assert not member.mode & 0o6000


def forged(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as written:
        for entry, content in members:
            entry.size = len(content)
            written.addfile(entry, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, **changes: object) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = kind, 0o755
    for key, value in changes.items():
        setattr(entry, key, value)
    return entry


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ([member("../outside")], "leads out"),
        ([member("/etc/outside")], "leads out"),
        ([member("d", tarfile.DIRTYPE), member("d/../../outside")], "leads out"),
        ([member("file", uid=1000)], "belongs to 1000:0"),
        ([member("file", gid=5)], "belongs to 0:5"),
        ([member("file", mode=0o4755)], "set-user-id"),
        ([member("file", mode=0o2755)], "set-user-id"),
        ([member("null", tarfile.CHRTYPE)], "neither file"),
        ([member("pipe", tarfile.FIFOTYPE)], "neither file"),
        ([member("hard", tarfile.LNKTYPE, linkname="/etc/passwd")], "neither file"),
        ([member("out", tarfile.SYMTYPE, linkname="OUTSIDE"), member("out/file")], "no directory of it"),
        ([member("file"), member("file")], "twice"),
        ([member("nowhere/file")], "no directory of it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(entry.name for entry in value),
)
def test_what_no_archive_of_ours_holds_is_refused(
    entries: list[tarfile.TarInfo], complaint: str, tmp_path: Path
) -> None:
    outside = tmp_path / "outside-directory"
    outside.mkdir()
    for entry in entries:
        if entry.linkname == "OUTSIDE":
            entry.linkname = str(outside)
    source = forged(tmp_path / "f.tar.gz", *((entry, b"") for entry in entries))
    with pytest.raises(archive.Refused, match=complaint):
        unpack(source, tmp_path / "back")
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "outside").exists()


def test_more_than_was_said_is_refused(tree: Path, tmp_path: Path) -> None:
    archive.write_tree(tmp_path / "a.tar.gz", tree)
    with pytest.raises(archive.Refused, match="more than"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "back", limit=3999)


@pytest.mark.parametrize("cut", [1, 8, 30, 100])
def test_a_truncated_archive_is_refused(cut: int, tree: Path, tmp_path: Path) -> None:
    archive.write_tree(tmp_path / "a.tar.gz", tree)
    whole = (tmp_path / "a.tar.gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[:-cut])
    with pytest.raises(archive.Refused, match="cannot be unpacked"):
        unpack(tmp_path / "cut.tar.gz", tmp_path / "back")


def test_a_programs_archive_holds_that_program_alone(tmp_path: Path) -> None:
    archive.write_files(tmp_path / "a.tar.gz", {"tool": b"tool"}, mode=0o755)
    archive.write_files(tmp_path / "b.tar.gz", {"tool": b"tool", "other": b""}, mode=0o755)
    with (tmp_path / "a.tar.gz").open("rb") as file:
        archive.unpack_one(file, "tool", tmp_path / "tool", limit=4)
    assert (tmp_path / "tool").read_bytes() == b"tool"
    for source, name, limit in (("b", "tool", 9), ("a", "another", 9), ("a", "tool", 3)):
        with (tmp_path / f"{source}.tar.gz").open("rb") as file, pytest.raises(archive.Refused):
            archive.unpack_one(file, name, tmp_path / "new", limit=limit)


def test_one_file_compressed(tmp_path: Path) -> None:
    (tmp_path / "image.tar").write_bytes(b"layer" * 1000)
    archive.compress(tmp_path / "image.tar", tmp_path / "image.tar.gz")
    assert gzip.decompress((tmp_path / "image.tar.gz").read_bytes()) == b"layer" * 1000
    with (tmp_path / "image.tar.gz").open("rb") as file:
        archive.decompress(file, tmp_path / "back", limit=5000)
    assert (tmp_path / "back").read_bytes() == b"layer" * 1000
    with (tmp_path / "image.tar.gz").open("rb") as file, pytest.raises(archive.Refused):
        archive.decompress(file, tmp_path / "again", limit=4999)
