"""What maintainer scripts do on a real system, done by hand on the unpacked tree.

They cannot run: they expect root and a running dpkg. What they would have done that matters here is little:
links, users, the CA bundle, the cache of shared libraries, byte code.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from labsupport.cluster import process
from labsupport.errors import LabsError

from .description import Description

MERGED = ("bin", "sbin", "lib", "lib64")  # links into /usr (Debian's merged /usr)
MOUNT_POINTS = (
    "proc",
    "sys",
    "dev",
    "run",
    "tmp",
    "var/tmp",
    "root",
    "home/course",
    "mnt",
    "opt/labs/bin",
    "opt/labs/lib",
)
EMPTY_FILES = ("etc/resolv.conf", "etc/hostname", "etc/hosts")  # a container's own are bound over them


def merge_usr(root: Path) -> None:
    """Make /bin, /sbin, /lib and /lib64 links into /usr before anything is unpacked."""
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")


def configure(root: Path, description: Description) -> None:
    """Links, users, names, certificates, mount points."""
    (root / "etc").mkdir(exist_ok=True)
    for name, target in description.links.items():
        _link(root / name, target)
    for where, applets in description.busybox.items():
        for applet in applets:
            if not any((root / place / applet).exists() for place in ("usr/bin", "usr/sbin")):
                _link(root / where / applet, "/usr/bin/busybox")
    _users(root, description)
    (root / "etc/nsswitch.conf").write_text(
        "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n"
    )
    _certificates(root)
    for name in MOUNT_POINTS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    for name in EMPTY_FILES:
        (root / name).unlink(missing_ok=True)
        (root / name).touch()
    _clear_special_modes(root)


def _link(link: Path, target: str) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink() or link.is_file():
        link.unlink()
    elif link.is_dir():
        link.rmdir()
    link.symlink_to(target)


def _users(root: Path, description: Description) -> None:
    """Debian's fixed users (base-passwd's master lists where it is installed) and those of the
    description.
    """
    for kind, line in (("passwd", "{name}:x:{id}:{id}::/home/{name}:/bin/bash"), ("group", "{name}:x:{id}:")):
        master = root / f"usr/share/base-passwd/{kind}.master"
        fixed = master.read_text().replace(":*:", ":x:") if master.exists() else _FIXED[kind]
        extra = "".join(
            line.format(name=name, id=number) + "\n" for name, number in description.users.items()
        )
        (root / f"etc/{kind}").write_text(fixed + extra)


_FIXED = {
    "passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "group": "root:x:0:\nnogroup:x:65534:\n",
}


def _certificates(root: Path) -> None:
    """One file of all certificate authorities, as update-ca-certificates would make it."""
    parts = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(part.read_text().rstrip() + "\n" for part in parts))


def _clear_special_modes(root: Path) -> None:
    """No program of the root is set-user-id: none needs it, and with one mapped id it could not work."""
    for directory, _, files in os.walk(root):
        for name in files:
            path = Path(directory, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                path.chmod(stat.S_IMODE(mode) & 0o777)


def python_of(root: Path) -> str:
    """The name of the root's interpreter with its version, for instance "python3.11"."""
    link = root / "usr/bin/python3"
    if not link.is_symlink():
        raise LabsError(f"{link} is missing: the packages brought no Python")
    return str(link.readlink())


def loader(root: Path) -> list[str]:
    """The words that run a program of the root outside of it: its own dynamic linker, its own libraries."""
    for pattern in ("usr/lib64/ld-linux-*.so.*", "usr/lib/ld-linux-*.so.*", "usr/lib/*/ld-linux-*.so.*"):
        for linker in sorted(root.glob(pattern)):
            libraries = ":".join(str(path) for path in sorted(root.glob("usr/lib/*-linux-gnu*")))
            return [str(linker.resolve()), "--library-path", libraries]
    raise LabsError(f"no dynamic linker under {root}")


def compile_python(root: Path, python: str) -> None:
    """Write byte code beside the standard library and the node's packages: a read-only tree cannot get it
    later.

    It is not checked against the source at import (PEP 552, unchecked-hash): the tree does not change.
    """
    environment = {"PYTHONHOME": str(root / "usr"), "PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"}
    places = [root / "usr/lib" / python, root / "usr/lib/python3/dist-packages", root / "opt/labs/site"]
    result = process.run(
        [
            *loader(root),
            root / "usr/bin" / python,
            *("-S", "-s", "-B", "-m", "compileall", "-q", "-j", str(os.cpu_count() or 1)),
            *("--invalidation-mode", "unchecked-hash", "-s", root, "-p", "/"),
            *(place for place in places if place.exists()),
        ],
        env=environment,
        keep=process.KEPT_LINES,
    )
    if not result.ok and not any(places[0].rglob("*.pyc")):
        # Some wheels carry files that are no valid Python on purpose; nothing compiled at all is another
        # matter.
        raise LabsError(f"the root's {python} does not run: {result.reason()}")


def check_python(root: Path, python: str) -> None:
    """Import what the node needs with the root's interpreter: a missing library must show here, not in a
    Pod.
    """
    modules = (
        "ctypes, ssl, sqlite3, asyncio, http.server, grpc, google.protobuf, h11, wsproto, kubernetes.client"
    )
    environment = {
        "PYTHONHOME": str(root / "usr"),
        "PYTHONPATH": str(root / "opt/labs/site"),
        "LC_ALL": "C.UTF-8",
    }
    result = process.run(
        [*loader(root), root / "usr/bin" / python, "-S", "-s", "-B", "-c", f"import {modules}"],
        env=environment,
    )
    if not result.ok:
        raise LabsError(f"the course root's {python} lacks what the node needs: {result.reason()}")


def link_libraries(root: Path) -> None:
    """Make /etc/ld.so.cache with the root's own ldconfig, which is linked statically and needs no chroot for
    -r.
    """
    result = process.run([root / "usr/sbin/ldconfig", "-r", root])
    if not result.ok:
        raise LabsError(f"ldconfig of the course root failed: {result.reason()}")


def give_to(root: Path, base: int) -> None:
    """Give each file to user and group `base` + its own, the ids that the node's user namespace maps them
    to.
    """
    for directory, directories, files, descriptor in os.fwalk(root):
        del directory
        for name in [*directories, *files]:
            status = os.lstat(name, dir_fd=descriptor)
            os.chown(
                name,
                base + status.st_uid,
                base + status.st_gid,
                dir_fd=descriptor,
                follow_symlinks=False,
            )
    os.chown(root, base, base)
