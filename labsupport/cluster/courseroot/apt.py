"""Debian packages without root: apt's own resolver and verification, with a state directory that is ours.

apt keeps its state (lists, cache, the status of installed packages) where `Dir::State` and `Dir::Cache` say,
so any user can run it on a private one; with an empty status file it resolves as for an empty system. The
machine's sources, keys and proxy settings are used; its hooks are not, since they are for its own apt
(apt.conf(5)).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from labsupport.cluster import process
from labsupport.errors import LabsError
from labsupport.paths import private_directory, write_private

NEEDED = ("apt-get", "apt-cache", "apt-config", "dpkg-deb", "tar")
ELSEWHERE = (
    "use a machine that has apt (Debian, Ubuntu), or an offline bundle (labs up --bundle DIR), "
    "or Docker with kind (labs up --backend kind)"
)
ANCHOR = "course-root"


@dataclass(frozen=True)
class Apt:
    """apt with a private state under `directory`, for one architecture."""

    directory: Path
    architecture: str

    @property
    def environment(self) -> dict[str, str]:
        """The caller's environment, with the private configuration and untranslated messages."""
        return os.environ | {"APT_CONFIG": str(self.directory / "apt.conf"), "LC_ALL": "C.UTF-8"}


def missing_programs() -> list[str]:
    """The programs this needs that are not on PATH."""
    return [name for name in NEEDED if shutil.which(name) is None]


def prepare(directory: Path, architecture: str, on_line: Callable[[str], None]) -> Apt:
    """Make the private state in `directory` and fetch the package lists. LabsError when that fails."""
    absent = missing_programs()
    if absent:
        raise LabsError(
            f"the course root needs {', '.join(absent)}, which this machine does not have",
            fix=ELSEWHERE,
            anchor=ANCHOR,
        )
    apt = Apt(private_directory(directory), architecture)
    for part in ("lists/partial", "cache/archives/partial"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    (directory / "status").write_text("")
    write_private(directory / "apt.conf", _configuration(apt))  # 0600: a proxy's address may hold a password
    update = process.run(["apt-get", "update"], env=apt.environment, on_line=on_line)
    if not update.ok:
        raise LabsError(
            f"apt-get update with a private state failed: {update.reason()}",
            fix="check the network and the proxy (apt's own settings and http_proxy are used), then try again",
            anchor=ANCHOR,
        )
    return apt


def _configuration(apt: Apt) -> str:
    """The machine's settings for fetching, and nothing else of its configuration."""
    dump = process.run(["apt-config", "dump"], env=os.environ | {"LC_ALL": "C.UTF-8"})
    if not dump.ok:
        raise LabsError(f"apt-config dump failed: {dump.reason()}", anchor=ANCHOR)
    lines = [
        line
        for line in dump.stdout.splitlines()
        # IndexTargets are further lists (icons, file contents), Languages translated descriptions: not needed
        # here.
        if line.startswith("Acquire::")
        and not line.startswith(("Acquire::IndexTargets", "Acquire::Languages"))
    ]
    settings = {
        "Dir::Etc::parts": "/dev/null",
        "Dir::Etc::main": "/dev/null",
        "Dir::State": str(apt.directory),
        "Dir::State::lists": str(apt.directory / "lists"),
        "Dir::State::status": str(apt.directory / "status"),
        "Dir::Cache": str(apt.directory / "cache"),
        "Acquire::Languages": "none",
        "APT::Architecture": apt.architecture,
        "APT::Architectures": apt.architecture,
        "APT::Install-Recommends": "false",
        "APT::Get::Assume-Yes": "true",
        "APT::Sandbox::User": "root",  # no change to user _apt, who cannot enter a private directory
        "Debug::NoLocking": "true",  # its locks are for root; ours is around the whole
    }
    return "\n".join([*lines, *(f'{key} "{value}";' for key, value in settings.items()), ""])


def resolve(apt: Apt, packages: Sequence[str]) -> dict[str, str]:
    """All that `packages` need on an empty system, in the newest version each: name to version."""
    result = process.run(["apt-get", "install", "--print-uris", "--quiet", *packages], env=apt.environment)
    if not result.ok:
        raise LabsError(f"apt cannot resolve the course root's packages: {result.reason()}", anchor=ANCHOR)
    # 'uri' name_version_architecture.deb size digest; characters not fit for file names are percent-encoded
    files = re.findall(r"^'[^']*' (\S+)\.deb ", result.stdout, re.MULTILINE)
    return {name: unquote(version) for name, version, _ in (file.split("_") for file in files)}


def available(apt: Apt, packages: Iterable[str]) -> dict[str, set[str]]:
    """The versions of each package that the archive has."""
    result = process.run(["apt-cache", "madison", *packages], env=apt.environment)
    versions: dict[str, set[str]] = {}
    for line in result.stdout.splitlines():
        name, version, _ = (field.strip() for field in line.split("|"))
        versions.setdefault(name, set()).add(version)
    return versions


def digests(apt: Apt, versions: Mapping[str, str]) -> dict[str, str]:
    """The SHA-256 digest of each package's .deb file as the signed lists state it."""
    result = process.run(
        ["apt-cache", "show", *(f"{name}={version}" for name, version in versions.items())],
        env=apt.environment,
    )
    found: dict[str, str] = {}
    for paragraph in result.stdout.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|SHA256): (\S+)$", paragraph, re.MULTILINE))
        if versions.get(fields.get("Package", "")) == fields.get("Version"):
            found[fields["Package"]] = fields["SHA256"]
    absent = sorted(versions.keys() - found.keys())
    if absent:
        raise LabsError(f"apt-cache show does not know {', '.join(absent)}", anchor=ANCHOR)
    return found


def download(apt: Apt, versions: Mapping[str, str], into: Path, on_line: Callable[[str], None]) -> None:
    """Download packages' .deb files into a directory; apt verifies them against the signed lists."""
    into.mkdir(parents=True, exist_ok=True)
    wanted = [f"{name}={version}" for name, version in versions.items()]
    result = process.run(["apt-get", "download", *wanted], cwd=into, env=apt.environment, on_line=on_line)
    if not result.ok:
        raise LabsError(
            f"apt-get download failed: {result.reason()}",
            fix="check the network and the free space, then try again",
            anchor=ANCHOR,
        )
