"""Makes the course root: chooses versions, downloads, unpacks, finishes, and gives the result its name at the
end.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from labsupport.cluster import process, wheels
from labsupport.cluster.cachedir import locked, remove_tree
from labsupport.console import Phase, phase
from labsupport.errors import LabsError
from labsupport.paths import private_directory

from . import apt, finish
from .description import Description

SPACE = 600 << 20  # bytes: packages, the unpacked tree, wheels, and apt's lists


@dataclass(frozen=True)
class Package:
    """A downloaded Debian package."""

    name: str
    version: str
    file: Path


def make(cache_dir: Path, directory: Path, description: Description, owner_base: int | None) -> None:
    """Make the course root as `directory`, in one step at the end, unless another process just did."""

    def fill(temporary: Path) -> None:
        if shutil.disk_usage(temporary).free < SPACE:
            raise LabsError(
                f"the course root needs {SPACE >> 20} MB free under {directory.parent}",
                fix="free some space (labs cache --prune removes what is not in use), then try again",
            )
        _make_in(temporary, cache_dir, description, owner_base)

    in_one_step(directory, fill)


def in_one_step(directory: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` make `root` and manifest.json in a new directory, which is then called `directory`.

    Does nothing where that is there already; one process at a time.
    """
    parent = private_directory(directory.parent)
    with locked(parent / "lock"):
        if (directory / "manifest.json").exists():
            return
        _sweep(parent)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
        try:
            fill(temporary)
            temporary.chmod(0o755)
            if directory.exists():  # a tree without its manifest: half removed
                remove_tree(directory)
            temporary.rename(directory)
        except BaseException:
            remove_tree(temporary)
            raise


def _make_in(temporary: Path, cache_dir: Path, description: Description, owner_base: int | None) -> None:
    root = temporary / "root"
    downloads = cache_dir / "downloads" / "debs"
    with phase("course root: Debian packages") as progress:
        packages, deviations = collect(description, cache_dir, downloads, progress)
        unpack(packages, root, description.drop, progress, keep_owners=owner_base is not None)
    with phase("course root: configuration and Python packages") as progress:
        finish.configure(root, description)
        python = finish.python_of(root)
        progress.update("Python packages")
        wheels.install(
            description.site,
            root / "opt/labs/site",
            python_version=python.removeprefix("python"),
            machine=platform.machine(),
        )
        for name in description.drop_site:
            remove_tree(root / "opt/labs/site" / name)
        finish.check_python(root, python)
        progress.update("byte code")
        finish.compile_python(root, python)
        finish.link_libraries(root)
        if owner_base is not None:
            finish.give_to(root, owner_base)
    manifest = {
        "release": description.release,
        "architecture": description.architecture,
        "python": f"/usr/bin/{python}",
        "owner_base": owner_base,
        "packages": {package.name: package.version for package in packages},
        "deviations": deviations,
    }
    (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def collect(
    description: Description, cache_dir: Path, downloads: Path, progress: Phase
) -> tuple[list[Package], list[str]]:
    """The packages as files in `downloads`, and in what they deviate from the lock.

    Files that are there with the locked digest are used as they are, without apt. A locked version that the
    archive no longer has is replaced by the newest one of the release.
    """
    pins = description.pins
    if pins:
        present = [_downloaded(downloads, name, pin.version) for name, pin in pins.items()]
        if all(file is not None for file in present):
            packages = [
                Package(name, pin.version, file)
                for (name, pin), file in zip(pins.items(), present, strict=True)
                if file is not None
            ]
            if not _wrong(packages, description):
                return packages, []
    progress.update("package lists")
    private = apt.prepare(cache_dir / "build" / "apt", description.architecture, progress.update)
    versions, deviations = choose(private, description)
    missing = {n: v for n, v in versions.items() if _downloaded(downloads, n, v) is None}
    if missing:
        apt.download(private, missing, downloads, progress.update)
    packages = []
    for name, version in versions.items():
        file = _downloaded(downloads, name, version)
        if file is None:
            raise LabsError(f"apt-get download left no file of {name} {version} in {downloads}")
        packages.append(Package(name, version, file))
    wrong = _wrong(packages, description)
    if wrong:
        for package in wrong:
            package.file.unlink()
        raise LabsError(
            "these packages are not the ones that clusters/images/course-root.lock names: "
            + ", ".join(f"{package.name}={package.version}" for package in wrong),
            fix="try again; if it stays, the archive or the lock was changed: do not go on",
        )
    return packages, deviations


def choose(private: apt.Apt, description: Description) -> tuple[dict[str, str], list[str]]:
    """The version of each package to install, and the deviations from the lock in words."""
    pins = description.pins
    offered = apt.available(private, pins) if pins else {}
    if pins and all(pin.version in offered.get(name, ()) for name, pin in pins.items()):
        return {name: pin.version for name, pin in pins.items()}, []
    newest = apt.resolve(private, description.packages)
    if not pins:
        chosen = {name: version for name, version in newest.items() if name not in description.leave_out}
        return chosen, [f"no lock for {description.release} {description.architecture}: newest versions"]
    chosen, deviations = {}, []
    for name, version in newest.items():
        if name in description.leave_out:
            continue
        pin = pins.get(name)
        chosen[name] = pin.version if pin and pin.version in offered.get(name, ()) else version
        if pin is None or chosen[name] != pin.version:
            deviations.append(f"{name}: {version} instead of {pin.version if pin else 'nothing'}")
    return chosen, deviations


def _downloaded(downloads: Path, name: str, version: str) -> Path | None:
    """The .deb file as `apt-get download` names it: a colon in the version is percent-encoded."""
    escaped = quote(version, safe="+~.-").replace("%3A", "%3a")
    return next(iter(sorted(downloads.glob(f"{name}_{escaped}_*.deb"))), None)


def _wrong(packages: list[Package], description: Description) -> list[Package]:
    """The packages whose file is not what the lock says of that version."""
    wrong = []
    for package in packages:
        pin = description.pins.get(package.name)
        if pin is not None and pin.version == package.version:
            with package.file.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != pin.sha256:
                    wrong.append(package)
    return wrong


def unpack(
    packages: list[Package], root: Path, drop: tuple[str, ...], progress: Phase, *, keep_owners: bool
) -> None:
    """Unpack the packages' files, without those that match `drop`, into a tree with merged /usr.

    `keep_owners`: give files the ids that the packages name, which needs a root that has those ids.
    """
    root.mkdir()
    finish.merge_usr(root)
    options = ["--extract", "--preserve-permissions", "--keep-directory-symlink", "--delay-directory-restore"]
    options.append("--same-owner" if keep_owners else "--no-same-owner")
    for number, package in enumerate(packages, 1):
        progress.update(f"unpacking {number} of {len(packages)}")
        source = process.start(["dpkg-deb", "--fsys-tarfile", package.file], stderr=None)
        try:
            # Not dpkg-deb --extract: it would replace the /bin -> usr/bin links of a merged /usr by
            # directories.
            command = ["tar", *options, *(f"--exclude={pattern}" for pattern in drop), "--directory", root]
            sink = subprocess.run(
                [str(word) for word in command], stdin=source.stdout, stderr=subprocess.PIPE, check=False
            )
            if source.stdout is not None:
                source.stdout.close()
            if sink.returncode != 0 or source.wait() != 0:
                said = sink.stderr.decode(errors="replace").strip().splitlines()[-1:]
                raise LabsError(
                    f"cannot unpack {package.file}: {' '.join(said)}",
                    fix=f"check the free space and delete {package.file.parent}, then try again",
                )
        except BaseException:
            process.end(source)
            raise


def _sweep(parent: Path) -> None:
    """Remove what runs that were killed left; the lock is held, so nobody works in them."""
    for leftover in parent.glob(".new-*"):
        remove_tree(leftover)
