"""Archives of a bundle: written so that equal content gives equal bytes, read so that nothing else than files appears.

A tree's archive is a gzip-compressed tar whose members are sorted, belong to root, and have a fixed time. Reading
refuses, before anything of the member is written, whatever such an archive never has: paths that lead out, owners,
set-user-id, devices, members below a link.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from labsupport.errors import LabsError

TIME = 0
LEVEL = 1  # 6 takes three times as long for 12 per cent
BLOCK = 1 << 20
FORMAT = tarfile.PAX_FORMAT
Report = Callable[[int], None]


class Refused(LabsError):
    """An archive that holds what no archive of ours holds."""


def _silent(count: int) -> None:
    """Nobody wants to know."""


def write_tree(
    target: Path, root: Path, *, leave_out: frozenset[str] = frozenset(), on_bytes: Report = _silent
) -> None:
    """Write the tree `root` to `target`; `leave_out` names paths in it that do not belong to its content.

    Owners are not kept (all is root's): the course root does not need them, and a tree unpacked by an ordinary user
    never had them. Names for one file become files of their own.
    """
    done = 0
    with _writing(target) as archive:
        for name, path in _walk(root, ""):
            if name in leave_out:
                continue
            status = path.lstat()
            entry = _entry(name, stat.S_IMODE(status.st_mode) & 0o1777)
            if stat.S_ISDIR(status.st_mode):
                entry.type = tarfile.DIRTYPE
                archive.addfile(entry)
            elif stat.S_ISLNK(status.st_mode):
                entry.type, entry.linkname = tarfile.SYMTYPE, str(path.readlink())
                archive.addfile(entry)
            elif stat.S_ISREG(status.st_mode):
                entry.size = status.st_size
                with path.open("rb") as content:
                    archive.addfile(entry, content)
                done += status.st_size
                on_bytes(done)
            else:
                raise LabsError(f"{path} is neither file, link nor directory")


def write_files(
    target: Path, files: Mapping[str, Path | bytes], *, mode: int = 0o644, on_bytes: Report = _silent
) -> None:
    """Write single files under the names given, without directories of their own."""
    with _writing(target) as archive:
        for name in sorted(files):
            source = files[name]
            entry = _entry(name, mode)
            if isinstance(source, bytes):
                entry.size = len(source)
                archive.addfile(entry, io.BytesIO(source))
            else:
                entry.size = source.stat().st_size
                with source.open("rb") as content:
                    archive.addfile(entry, _Reported(content, on_bytes))


def compress(source: Path, target: Path, on_bytes: Report = _silent) -> None:
    """Write a file gzip-compressed, without its name and time."""
    with source.open("rb") as content, _compressing(target) as output:
        reported = _Reported(content, on_bytes)
        while block := reported.read(BLOCK):
            output.write(block)


def unpack_tree(file: IO[bytes], root: Path, *, limit: int, on_bytes: Report = _silent) -> None:
    """Unpack a tree's archive into the empty directory `root`. `limit`: the most bytes that may come of it.

    Refused (a LabsError) for everything that `write_tree` does not write; what was unpacked before is left there.
    """
    directories = {PurePosixPath(".")}
    known: set[PurePosixPath] = set()
    modes: list[tuple[Path, int]] = []
    total = 0
    for archive, member in _members(file):
        name = _checked(member)
        if name in known or name.parent not in directories:
            raise Refused(
                f"{member.name!r} in the archive is there twice, or in a place that is no directory of it"
            )
        known.add(name)
        target = root / name
        if member.isdir():
            directories.add(name)
            target.mkdir(mode=0o700)
            modes.append((target, member.mode))
        elif member.issym():
            target.symlink_to(member.linkname)
        else:
            total += member.size
            if total > limit:
                raise Refused("the archive unpacks to more than its list says")
            _write_file(archive, member, target, member.mode)
            on_bytes(total)
    for target, mode in reversed(modes):  # last: a directory may forbid its owner to write
        target.chmod(mode)


def unpack_one(file: IO[bytes], name: str, target: Path, *, limit: int) -> None:
    """Unpack the one file `name`, which is all that the archive holds, as `target`. Refused otherwise."""
    count = 0
    for archive, member in _members(file):
        if _checked(member) != PurePosixPath(name) or not member.isreg() or count or member.size > limit:
            raise Refused(f"the archive of {name} holds {member.name!r}, which it should not")
        count += 1
        _write_file(archive, member, target, 0o755)
    if not count:
        raise Refused(f"the archive of {name} is empty")


def decompress(file: IO[bytes], target: Path, *, limit: int, on_bytes: Report = _silent) -> None:
    """Unpack what `compress` wrote. Refused when it is damaged or longer than `limit` bytes."""
    total = 0
    try:
        with gzip.GzipFile(fileobj=file) as content, target.open("xb") as output:
            while block := content.read(BLOCK):
                total += len(block)
                if total > limit:
                    raise Refused("the archive unpacks to more than its list says")
                output.write(block)
                on_bytes(total)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Refused(f"the archive cannot be unpacked: {error}") from error


def read_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of an archive, in its order."""
    with path.open("rb") as file:
        for archive, member in _members(file):
            if member.isreg() and (content := archive.extractfile(member)) is not None:
                yield member.name, content.read()


def _members(file: IO[bytes]) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    try:
        # Not mode "r|gz": tarfile takes a file that was cut off for one that is complete.
        with (
            gzip.GzipFile(fileobj=file) as content,
            tarfile.open(fileobj=content, mode="r|", bufsize=BLOCK) as archive,
        ):
            for member in archive:
                yield archive, member
            while content.read(BLOCK):
                pass  # to the end, where gzip's checksum is compared
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Refused(f"the archive cannot be unpacked: {error}") from error


def _checked(member: tarfile.TarInfo) -> PurePosixPath:
    """A member's path, if the member is one that we write."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not name.parts:
        raise Refused(f"{member.name!r} in the archive leads out of it")
    if (member.uid, member.gid) != (0, 0):
        raise Refused(f"{member.name!r} in the archive belongs to {member.uid}:{member.gid}, not to root")
    if member.mode & (stat.S_ISUID | stat.S_ISGID):
        raise Refused(f"{member.name!r} in the archive is set-user-id or set-group-id")
    if not (member.isreg() or member.isdir() or member.issym()):
        raise Refused(f"{member.name!r} in the archive is neither file, link nor directory")
    return name


def _write_file(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path, mode: int) -> None:
    content = archive.extractfile(member)
    if content is None:
        raise Refused(f"{member.name!r} in the archive has no content")
    # Exclusive and without following links: nothing that is there already is written to.
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as output:
        while block := content.read(BLOCK):
            output.write(block)
        os.fchmod(descriptor, mode)


def _walk(root: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    """Paths below `root`, each directory before what is in it, in the order of their names' bytes."""
    for path in sorted(root.iterdir(), key=lambda path: os.fsencode(path.name)):
        inside = f"{prefix}{path.name}"
        yield inside, path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path, f"{inside}/")


def _entry(name: str, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.mtime = mode, TIME
    return entry


@contextmanager
def _compressing(target: Path) -> Iterator[IO[bytes]]:
    with target.open("xb") as sink, gzip.GzipFile("", "wb", LEVEL, sink, mtime=TIME) as output:
        yield output  # type: ignore[misc]


@contextmanager
def _writing(target: Path) -> Iterator[tarfile.TarFile]:
    with _compressing(target) as output, tarfile.open(fileobj=output, mode="w|", format=FORMAT) as archive:
        yield archive


class _Reported:
    """A file to read from that tells how far it was read."""

    def __init__(self, source: IO[bytes], report: Report) -> None:
        self._source, self._report, self._done = source, report, 0

    def read(self, count: int = -1) -> bytes:
        block = self._source.read(count)
        self._done += len(block)
        self._report(self._done)
        return block
