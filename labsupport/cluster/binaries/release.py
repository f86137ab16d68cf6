"""Official releases: downloaded, compared with the project's own list of checksums, unpacked."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import requests

from labsupport.cluster.versions import Program
from labsupport.console import Phase, note, phase
from labsupport.paths import private_directory

from . import Binary, fetch, find, store

MB = 1 << 20


def obtain(
    programs: Sequence[Program],
    cache_dir: Path,
    tried: dict[str, list[str]],
    environ: Mapping[str, str],
    limits: fetch.Limits | None = None,
) -> dict[str, Binary]:
    """Download programs into the cache; why one could not be had is added to `tried`.

    A server that cannot be reached is asked once, not once for each program.
    """
    for program in programs:
        if not program.release:
            tried[program.name].append("release: none has it")
    programs = [program for program in programs if program.release]
    if not programs:
        return {}
    client = fetch.session(environ)
    downloads = private_directory(cache_dir / "downloads" / "releases")
    unreachable: dict[str, str] = {}
    found = {}
    with phase("official releases") as progress:
        for program in programs:
            host = urlsplit(program.release).netloc
            if host in unreachable:
                tried[program.name].append(f"release: {unreachable[host]}")
                continue
            try:
                file = _download(client, program, downloads, progress, limits or fetch.Limits())
                found[program.name] = _install(program, file, cache_dir)
            except fetch.Unreachable as error:
                unreachable[host] = str(error)
                tried[program.name].append(f"release: {error}")
            except (fetch.FetchError, OSError) as error:
                tried[program.name].append(f"release: {error}")
    for reason in unreachable.values():
        note(f"        not reachable: {reason}")
    return found


def _download(
    client: requests.Session, program: Program, downloads: Path, progress: Phase, limits: fetch.Limits
) -> Path:
    """The release's file, complete and verified."""
    name = urlsplit(program.release).path.rsplit("/", 1)[-1]
    sha256 = fetch.checksum_in(fetch.text(client, program.checksum, limits), name)
    target = downloads / f"{program.name}-{program.version}-{name}"

    def show(done: int, total: int | None) -> None:
        progress.update(f"{program.name}: {done // MB} of {total // MB if total else '?'} MB")

    if not (target.exists() and store.digest_of(target) == sha256):
        fetch.download(client, program.release, target, sha256=sha256, on_bytes=show, limits=limits)
    return target


def _install(program: Program, file: Path, cache_dir: Path) -> Binary:
    """Take the program out of the release's file, ask it for its version, and move it into the cache."""
    candidate = file
    if program.member is not None:
        candidate = file.with_name(f"{program.name}-{program.version}.unpacked")
        try:
            with tarfile.open(file) as archive, candidate.open("wb") as output:
                member = archive.extractfile(program.member)
                if member is None:
                    raise fetch.FetchError(f"{program.release}: {program.member} in it is no file")
                while block := member.read(MB):
                    output.write(block)
        except (tarfile.TarError, KeyError) as error:
            raise fetch.FetchError(f"{program.release}: no {program.member} in it: {error}") from None
    candidate.chmod(0o755)
    try:
        version, unofficial = find.probe(program, candidate)
    except ValueError as error:
        raise fetch.FetchError(f"{program.release}: {error}") from None
    if version != program.version:
        raise fetch.FetchError(f"{program.release}: says version {version}, not {program.version}")
    binary = store.install(
        cache_dir, candidate, name=program.name, version=version, origin="release", unofficial=unofficial
    )
    file.unlink(missing_ok=True)
    return binary
