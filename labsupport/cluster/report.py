"""One archive of what helps to find a fault: logs, states, versions, the doctor's checks. Without secrets."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import platform
import pwd
import socket
import stat
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labsupport import __version__, paths
from labsupport.cluster import doctor, get
from labsupport.cluster.directory import ClusterDirectory
from labsupport.cluster.redact import Redactor
from labsupport.errors import LabsError

LOG_BYTES = 512 * 1024  # of each log, from its end: a fault is near it
STATE_FILES = (
    *("cluster.json", "launch.json", "launcher.json", "launcher.log", "node/host/status.json"),
    *("kind.yaml", "kind.log"),
)
LOG_DIRECTORIES = ("labs", "pods")  # of a node's /var/log
SECRET_FILES = ("pki", "node/etc/kubernetes/pki", "workers/*/etc/kubernetes/pki")
LIBRARIES = ("click", "cryptography", "jupyterlab", "kubernetes", "psutil", "pydantic", "requests", "rich")


@dataclass(frozen=True)
class Made:
    """The archive: where it is, what is in it, how many places were redacted."""

    path: Path
    files: tuple[str, ...]
    replacements: int


def make(name: str, output: Path | None = None) -> Made:
    """Write the archive (0600); a cluster that is down, broken or not there is reported as well as can be.

    Raises LabsError when there is a file at `output` already or it cannot be written.
    """
    path = output or Path(time.strftime("labs-report-%Y%m%d-%H%M%S.tar.gz"))
    directory = ClusterDirectory(name)
    redact = redactor(directory.root)
    contents = {member: redact(text) for member, text in collect(name, directory.root)}
    _write(path, contents)
    return Made(path.absolute(), tuple(contents), redact.count)


def redactor(root: Path) -> Redactor:
    """A redactor that knows this user, this machine, and the secrets in a cluster's directory."""
    host = socket.gethostname()
    names = {host, host.split(".")[0]}
    with suppress(KeyError):  # no account: then nothing can name it
        user = pwd.getpwuid(os.getuid())
        full_name = user.pw_gecos.split(",")[0]
        names |= {user.pw_name, full_name, *full_name.split()}
    return Redactor(home=str(Path.home()), names=names, secrets=tuple(known_secrets(root)))


def known_secrets(root: Path) -> Iterator[str]:
    """What the secret files of a cluster and of JupyterLab hold, line by line: a log may quote one line of a key."""
    files = [file for name in SECRET_FILES for file in root.glob(f"{name}/*.key")]
    files += [root / "kubeconfig", *paths.state_location().glob("jupyter*/**/*token*")]
    for file in files:
        try:
            lines = file.read_text().splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        for line in lines:
            value = line.partition("client-key-data:")[2] if file.name == "kubeconfig" else line
            if value.strip() and not value.startswith("-----"):
                yield value.strip()


def collect(name: str, root: Path) -> Iterator[tuple[str, str]]:
    """Name in the archive and text of each part; a part that cannot be had says why instead."""
    cluster = get(name)
    for member, source in (
        ("versions.json", lambda: _json(versions())),
        ("doctor.json", lambda: _json(doctor.as_dict(doctor.examine(name)))),
        ("status.json", lambda: _json(cluster.status().as_dict())),
        ("cluster/nodes.json", lambda: _json(_nodes(cluster.kubeconfig))),
        ("cluster/pods.json", lambda: _json(_pods(cluster.kubeconfig))),
        ("cluster/events.json", lambda: _json(_events(cluster.kubeconfig))),
    ):
        yield _attempt(member, source)
    workers = sorted((root / "workers").glob("*"))
    for member in (*STATE_FILES, *(f"workers/{worker.name}/host/status.json" for worker in workers)):
        if (root / member).exists():
            yield _attempt(f"state/{member}", lambda member=member: _tail(root / member))  # type: ignore[misc]
    for node, folder in [(root / "node", "logs"), *((worker, f"logs/{worker.name}") for worker in workers)]:
        logs = node / "var/log"
        for file in sorted(file for place in LOG_DIRECTORIES for file in _logs_below(logs / place)):
            yield _attempt(f"{folder}/{file.relative_to(logs)}", lambda file=file: _tail(file))  # type: ignore[misc]


def _logs_below(place: Path) -> Iterator[Path]:
    """Log files at any depth; a directory that a container's user closed to us is passed by."""
    for directory, _, names in os.walk(place):
        for name in names:
            with suppress(OSError):
                if ".log" in name and stat.S_ISREG((Path(directory) / name).lstat().st_mode):
                    yield Path(directory) / name


def versions() -> dict[str, Any]:
    """What runs here, in versions."""
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    libraries = {}
    for library in LIBRARIES:
        try:
            libraries[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            libraries[library] = ""
    return {
        "labs": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "system": release.get("PRETTY_NAME", platform.system()),
        "root": os.geteuid() == 0,
        "processors": os.cpu_count(),
        "libraries": libraries,
    }


def _attempt(member: str, source: Callable[[], str]) -> tuple[str, str]:
    try:
        return member, source()
    except Exception as error:  # a report of a broken machine must come about whatever is broken
        return f"{member}.failed", f"{type(error).__name__}: {error}\n"


def _json(data: Any) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _tail(file: Path) -> str:
    with file.open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(0, size - LOG_BYTES))
        text = opened.read(LOG_BYTES).decode(errors="replace")
    # A line that was cut in two may be the end of a key whose beginning would have given it away.
    return text if size <= LOG_BYTES else text.partition("\n")[2]


def _list(kubeconfig: Path, path: str) -> list[dict[str, Any]]:
    from labsupport import kube

    answer = kube.request(kube.connect(kubeconfig), "GET", path, query={"limit": "500"})
    return list(answer.get("items", []))


def _events(kubeconfig: Path) -> list[dict[str, Any]]:
    kept = ("type", "reason", "message", "count", "firstTimestamp", "lastTimestamp", "involvedObject")
    return [{key: event.get(key) for key in kept} for event in _list(kubeconfig, "/api/v1/events")]


def _pods(kubeconfig: Path) -> list[dict[str, Any]]:
    """Name and status of each Pod; not its spec, whose environment may hold anything."""
    return [
        {
            "namespace": pod["metadata"].get("namespace"),
            "name": pod["metadata"].get("name"),
            "images": [container.get("image") for container in pod["spec"].get("containers", [])],
            "status": pod.get("status"),
        }
        for pod in _list(kubeconfig, "/api/v1/pods")
    ]


def _nodes(kubeconfig: Path) -> list[dict[str, Any]]:
    return [
        {"name": node["metadata"]["name"], "status": node.get("status")}
        for node in _list(kubeconfig, "/api/v1/nodes")
    ]


def _write(path: Path, contents: dict[str, str]) -> None:
    """A tar.gz that only its owner can read, and that does not name him."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise LabsError(f"There is a file {path} already.", fix="choose another --output") from None
    except OSError as error:
        message = f"The report cannot be written to {path}: {error.strerror}."
        raise LabsError(message, fix="choose another --output") from error
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for member, text in contents.items():
            payload = text.encode()
            entry = tarfile.TarInfo(f"labs-report/{member}")
            entry.size, entry.mode, entry.mtime = len(payload), 0o600, int(time.time())
            archive.addfile(entry, io.BytesIO(payload))
