"""What the course root consists of, as data: clusters/images/course-root.toml, its lock and the node's Python
wheels.
"""

from __future__ import annotations

import hashlib
import json
import platform
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labsupport.errors import LabsError

IMAGES = Path(__file__).resolve().parents[3] / "clusters" / "images"
STEPS = 1  # raise it when make.py or finish.py make another tree from the same description
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # uname's name to Debian's


@dataclass(frozen=True)
class Pin:
    """A package's version and the SHA-256 digest of its .deb file."""

    version: str
    sha256: str


@dataclass(frozen=True)
class Description:
    """The course root of one release and architecture. `pins` is empty where no lock was made for them.

    `over`: the root that this one lies over; what is in that one is not in this. `groups`: name -> (id, member).
    """

    release: str
    architecture: str
    packages: tuple[str, ...]
    leave_out: frozenset[str]
    drop: tuple[str, ...]
    links: Mapping[str, str]
    busybox: Mapping[str, tuple[str, ...]]
    users: Mapping[str, int]
    pins: Mapping[str, Pin]
    site: Path
    source: str
    drop_site: tuple[str, ...] = ()
    over: str = ""
    groups: Mapping[str, tuple[int, str]] = field(default_factory=dict)


def host_platform() -> tuple[str, str]:
    """This machine's Debian release (its code name) and architecture (Debian's name)."""
    try:
        release = platform.freedesktop_os_release().get("VERSION_CODENAME", "unknown")
    except OSError:
        release = "unknown"
    machine = platform.machine()
    return release, ARCHITECTURES.get(machine, machine)


def load(
    directory: Path = IMAGES, target: tuple[str, str] | None = None, name: str = "course-root"
) -> Description:
    """Read the description `name` for `target` (release, architecture; default: this machine).

    LabsError on a bad file. There are others than the course root's: that of a kind node (clusters/kind), and what the
    images of Kubernetes' own tests have besides (clusters/conformance).
    """
    release, architecture = target or host_platform()
    file = directory / f"{name}.toml"
    try:
        text = file.read_text()
        content = tomllib.loads(text)
        pins = read_lock(directory / f"{name}.lock", release, architecture)
        return Description(
            release=release,
            architecture=architecture,
            packages=tuple(content["packages"]),
            leave_out=frozenset(content["leave_out"]),
            drop=tuple(content["drop"]),
            links=dict(content["links"]),
            busybox={where: tuple(names) for where, names in content["busybox"].items()},
            users=dict(content["users"]),
            pins=pins,
            site=directory / "course-site.txt",
            source=text,
            drop_site=tuple(content.get("drop_site", ())),
            over=content.get("over", ""),
            groups={
                name: (int(number), member) for name, (number, member) in content.get("groups", {}).items()
            },
        )
    except FileNotFoundError as error:
        raise LabsError(f"{error.filename} is missing", fix=f"git checkout -- {directory}") from error
    except (tomllib.TOMLDecodeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise LabsError(
            f"{file}: {type(error).__name__}: {error}", fix=f"git checkout -- {directory}"
        ) from error


def read_lock(file: Path, release: str, architecture: str) -> dict[str, Pin]:
    """The pins of one release and architecture. A line is: release architecture name=version sha256."""
    pins: dict[str, Pin] = {}
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        try:
            line_release, line_architecture, package, sha256 = line.split()
            name, version = package.split("=", 1)
        except ValueError:
            raise LabsError(f"{file}:{number}: expected 'release architecture name=version sha256'") from None
        if (line_release, line_architecture) == (release, architecture):
            pins[name] = Pin(version, sha256)
    return pins


def digest(description: Description, owner_base: int | None) -> str:
    """The name of the tree that this description makes: 16 hexadecimal digits, another for any change."""
    parts = {
        "steps": STEPS,
        "release": description.release,
        "architecture": description.architecture,
        "source": description.source,
        "pins": {name: [pin.version, pin.sha256] for name, pin in description.pins.items()},
        "site": description.site.read_text(),
        "owner_base": owner_base,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
