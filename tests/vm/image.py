"""The machine's disk: a minimal Debian, made once where the packages can be fetched.

mmdebstrap makes the tree, from its default mirror; as root, or as an ordinary user who has subordinate ids.
Kept in the cache under a digest of all that decides what it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from labsupport import bootstrap
from labsupport.cluster import courseroot, process
from labsupport.cluster.cachedir import explained_if_full
from labsupport.cluster.courseroot.make import in_one_step
from labsupport.console import phase
from labsupport.errors import LabsError

INSIDE = Path(__file__).resolve().parent / "inside"
FILES = ("vmlinuz", "initrd.img", "disk.ext4")
SERVICES = ("customize", "labs-vm.service")
RELEASES = {"12": "bookworm", "13": "trixie"}
# What a person would have, and no more: the promise is "python3, git and make". The rest is what boots.
PACKAGES = ("linux-image-cloud-amd64", "systemd-sysv", "libpam-systemd", "dbus", "python3", "git", "make")
SIZE = "10G"  # of the disk as the machine sees it; what is not written takes no place
MINUTES = 30  # until mmdebstrap is held to hang
RUN = ".run-"  # begins the name of a running machine's directory
ANCHOR = "on-a-machine-that-nobody-prepared"
PROGRAMS = {  # on this machine: program -> package of Debian
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "qemu-system-x86_64": "qemu-system-x86",
}


@dataclass(frozen=True)
class Recipe:
    """What a machine's disk is made of."""

    release: str
    packages: tuple[str, ...]
    files: Mapping[str, str]  # name -> SHA-256 of what decides the caches and the services
    course_root: str
    size: str = SIZE

    def digest(self) -> str:
        """16 hexadecimal digits, others for any change."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Image:
    """A made disk with the kernel that boots it."""

    directory: Path
    release: str
    kernel: str

    @property
    def disk(self) -> Path:
        """The disk, ext4 without a partition table."""
        return self.directory / "disk.ext4"


def recipe(debian: str, source: Path, further: tuple[str, ...] = ()) -> Recipe:
    """The recipe of Debian `debian` for the course in `source`, with `further` packages."""
    release = RELEASES[debian]
    files = {name: hashlib.sha256((INSIDE / name).read_bytes()).hexdigest() for name in SERVICES}
    project = tomllib.loads((source / "pyproject.toml").read_text())
    uv = re.search(r"^UV_VERSION = .*", (source / "labsupport/bootstrap.py").read_text(), re.MULTILINE)
    environment = [(source / "uv.lock").read_text(), str(project["build-system"]), uv[0] if uv else ""]
    files["environment"] = hashlib.sha256("\0".join(environment).encode()).hexdigest()
    description = courseroot.load(source / "clusters/images", (release, "amd64"))
    return Recipe(release, (*PACKAGES, *further), files, courseroot.digest(description, None))


def require_programs() -> None:
    """LabsError where this machine lacks a program, with what to install."""
    missing = [program for program in PROGRAMS if shutil.which(program, path=search_path()) is None]
    if missing:
        packages = " ".join(dict.fromkeys(PROGRAMS[program] for program in missing))
        raise LabsError(
            f"a virtual machine needs {', '.join(missing)}, which this machine does not have",
            fix=f"as root: apt-get install {packages} debian-archive-keyring",
            anchor=ANCHOR,
        )


def search_path() -> str:
    """PATH with the directories in which Debian keeps administrators' programs: an ordinary user's has them not."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def location(cache: Path, wanted: Recipe) -> Path:
    """Where the machine of that recipe is kept."""
    return cache / "vm" / f"{wanted.release}-{wanted.digest()}"


def ensure(wanted: Recipe, cache: Path, clone: Path) -> Image:
    """The disk of that recipe, made if it is not in the cache. `clone`: of the course, readable for everybody."""
    directory = location(cache, wanted)
    if not (directory / "manifest.json").exists():
        with explained_if_full(cache):
            in_one_step(directory, lambda temporary: _make(temporary, wanted, clone))
    manifest = json.loads((directory / "manifest.json").read_text())
    return Image(directory, wanted.release, manifest["kernel"])


def _make(temporary: Path, wanted: Recipe, clone: Path) -> None:
    with (
        phase(f"Debian {wanted.release}: a minimal system, with a learner's caches") as progress,
        _scratch() as scratch,
    ):
        root, inside = scratch / "root", scratch / "inside"
        shutil.copytree(INSIDE, inside)  # a home may be closed to the namespace's root
        command = [
            *("mmdebstrap", f"--mode={'root' if os.geteuid() == 0 else 'unshare'}", "--variant=minbase"),
            *("--format=directory", f"--include={','.join(wanted.packages)}"),
            f"--customize-hook={inside / 'customize'}",
            *(wanted.release, str(root)),
        ]
        environment = (
            os.environ
            | bootstrap.index_settings()
            | {
                "PATH": search_path(),
                "VM_CLONE": str(clone),
                "VM_INSIDE": str(inside),
                "VM_AUTHORITIES": authorities(),
            }
        )
        done = process.run(command, env=environment, on_line=progress.update, timeout=MINUTES * 60)
        if not done.ok:
            raise LabsError(
                f"mmdebstrap made no system: {done.reason(8)}", fix="check the network and apt's settings"
            )
        progress.update("its disk")
        (kernel,) = (
            path.name.removeprefix("vmlinuz-") for path in sorted((root / "boot").glob("vmlinuz-*"))[-1:]
        )
        write_disk(root, scratch / "disk.ext4", wanted.size, prefix=_prefix())
        for name in ("vmlinuz", "initrd.img"):
            _as_its_root(["cp", root / "boot" / f"{name}-{kernel}", scratch / name])
        made = [scratch / name for name in FILES]
        _as_its_root(["chmod", "644", *made])
        # What they belong to may be a user of the namespace: the copies are the caller's.
        done = process.run(["cp", "--sparse=always", *made, temporary])
        if not done.ok:
            raise LabsError(f"the machine's disk could not be kept: {done.reason()}")
        (temporary / "manifest.json").write_text(
            json.dumps({"kernel": kernel, **asdict(wanted)}, indent=1) + "\n"
        )


def write_disk(tree: Path, disk: Path, size: str, *, prefix: tuple[str, ...] = ()) -> None:
    """Write a tree as an ext4 file system, without mounting anything."""
    options = ("-q", "-F", "-t", "ext4", "-m", "0", "-E", "lazy_itable_init=0")
    words = [*prefix, "mke2fs", *options, "-d", str(tree), str(disk), size]
    done = process.run(words, env=os.environ | {"PATH": search_path()}, timeout=600)
    if not done.ok:
        raise LabsError(f"mke2fs made no disk of {tree}: {done.reason()}")


def authorities() -> str:
    """The file of certificate authorities that this machine trusts."""
    candidates = (
        os.environ.get("SSL_CERT_FILE", ""),
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/cert.pem",
    )
    return next((name for name in candidates if name and Path(name).is_file()), "/dev/null")


def _prefix() -> tuple[str, ...]:
    """What enters the user namespace that holds the tree's owners, where the caller is not root."""
    return () if os.geteuid() == 0 else ("mmdebstrap", "--unshare-helper")


def _as_its_root(words: list[str | Path]) -> None:
    done = process.run([*_prefix(), *words], env=os.environ | {"PATH": search_path()})
    if not done.ok:
        raise LabsError(f"{words[0]}: {done.reason()}")


@contextmanager
def _scratch() -> Iterator[Path]:
    """A directory for the tree, removed by whoever owns what is in it."""
    scratch = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="labs-vm-"))
    # A namespace's root is another user here.
    scratch.chmod(0o755 if os.geteuid() == 0 else 0o1777)
    try:
        yield scratch
    finally:
        theirs = [scratch / name for name in ("root", *FILES)]
        process.run([*_prefix(), "rm", "-rf", *theirs], env=os.environ | {"PATH": search_path()})
        shutil.rmtree(scratch, ignore_errors=True)


def clone_of(source: Path, target: Path) -> None:
    """Clone a tree's HEAD: what is not committed is not in it."""
    done = process.run(["git", "clone", "--quiet", "--no-hardlinks", source, target])
    if not done.ok:
        raise LabsError(f"git clone of {source}: {done.reason()}")
