"""Docker or Podman, spoken to by its own command: found, asked what it has, told what to start and to remove.

Source of the labels: pkg/cluster/constants and pkg/cluster/internal/providers of kind.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labsupport.cluster import process
from labsupport.errors import LabsError

PROVIDER = "KIND_EXPERIMENTAL_PROVIDER"  # kind's own variable: whoever set it for kind means us too
ENGINES = ("docker", "podman")
OLDEST = {
    "docker": (20, 10),
    "podman": (4, 0),
}  # private control group namespaces; the network that kind makes
CLUSTER_LABEL = "io.x-k8s.kind.cluster"
ROLE_LABEL = "io.x-k8s.kind.role"
ANCHOR = "docker"
ASK_SECONDS = 20.0
INSTALL = "install Docker (or Podman) and start it, or use the back end that needs neither: labs up"


@dataclass(frozen=True)
class Engine:
    """A container engine that answers."""

    name: str  # docker or podman
    path: Path
    version: str

    def run(
        self,
        *words: str | os.PathLike[str],
        timeout: float | None = ASK_SECONDS,
        on_line: Callable[[str], None] | None = None,
    ) -> process.Finished:
        """Run the engine's command. LabsError when it does not end in time."""
        try:
            return process.run([self.path, *words], timeout=timeout, on_line=on_line)
        except process.TimedOut as error:
            raise LabsError(
                f"{self.name} does not answer: {error}",
                fix=f"restart {self.name}, then try again",
                anchor=ANCHOR,
            ) from None

    def must(self, *words: str | os.PathLike[str], timeout: float | None = ASK_SECONDS) -> str:
        """Run the engine's command and return what it wrote. LabsError says why it failed."""
        result = self.run(*words, timeout=timeout)
        if not result.ok:
            raise LabsError(f"{self.name} {words[0]}: {result.reason()}", anchor=ANCHOR)
        return result.stdout


@dataclass(frozen=True)
class Trouble:
    """Why an engine is of no use: `kind` is missing, daemon, permission, old or other; `said` its own words."""

    kind: str
    said: str


@dataclass(frozen=True)
class Node:
    """A container that kind made: `mark` is the host's file that is mounted as its owner's mark, "" if none is."""

    id: str
    name: str
    role: str
    running: bool
    pid: int
    started: str
    mark: str


def wanted(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The engines to try, in order."""
    chosen = environ.get(PROVIDER, "")
    return (chosen,) if chosen in ENGINES else ENGINES


def look(environ: Mapping[str, str] | None = None) -> Engine | Trouble:
    """The first engine that answers, or what is wrong with the first that is installed."""
    environment = os.environ if environ is None else environ
    trouble = Trouble("missing", "neither docker nor podman is installed")
    for name in wanted(environment):
        path = shutil.which(name, path=environment.get("PATH"))
        if path is None:
            continue
        form = "{{.Server.Version}}" if name == "docker" else "{{.Client.Version}}"
        try:
            result = process.run([path, "version", "--format", form], env=environment, timeout=ASK_SECONDS)
        except (process.TimedOut, OSError) as error:
            found: Engine | Trouble = Trouble("daemon", str(error))
        else:
            found = judge(name, Path(path), result.ok, result.stdout.strip(), result.reason(1))
        if isinstance(found, Engine):
            return found
        if trouble.kind == "missing":
            trouble = found
    return trouble


def judge(name: str, path: Path, ok: bool, version: str, said: str) -> Engine | Trouble:
    """What `docker version` means."""
    if not ok or not version:
        text = said.lower()
        if "permission denied" in text:
            return Trouble("permission", said)
        if "cannot connect" in text or "is the docker daemon running" in text or "no such file" in text:
            return Trouble("daemon", said)
        return Trouble("old" if "too old" in text or "minimum supported api" in text else "other", said)
    if numbers(version) < OLDEST[name]:
        oldest = ".".join(map(str, OLDEST[name]))
        return Trouble("old", f"{name} {version}; needed is {oldest} or newer")
    return Engine(name, path, version)


def numbers(version: str) -> tuple[int, ...]:
    """The first two numbers of a version such as 20.10.24+dfsg1."""
    parts = version.split(".")[:2]
    return tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in parts)


def explain(trouble: Trouble) -> tuple[str, str]:
    """What a person reads of it: what is wrong, and the next step."""
    if trouble.kind == "missing":
        return "Neither Docker nor Podman is installed here.", INSTALL
    if trouble.kind == "permission":
        step = (
            "sudo usermod -aG docker $USER, then log in again (whoever is in that group is as mighty as root)"
        )
        return f"You may not talk to Docker: {trouble.said}", step
    if trouble.kind == "daemon":
        return f"Docker does not run: {trouble.said}", "sudo systemctl start docker (or start Docker Desktop)"
    if trouble.kind == "old":
        return f"This Docker is too old, or its command too old for it: {trouble.said}", "update Docker"
    return f"Docker does not answer as expected: {trouble.said}", "docker version"


def find(environ: Mapping[str, str] | None = None) -> Engine:
    """The engine to use. LabsError says what is wrong and how to mend it."""
    found = look(environ)
    if isinstance(found, Engine):
        return found
    what, fix = explain(found)
    raise LabsError(what, fix=fix, anchor=ANCHOR)


def nodes(engine: Engine, cluster: str, mark_place: str) -> tuple[Node, ...]:
    """The containers of a kind cluster, running or not, the control plane's first, then in the order of their names.

    `mark_place` is where an owner's mark is mounted.
    """
    listed = engine.must(
        "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={CLUSTER_LABEL}={cluster}"
    )
    ids = listed.split()
    if not ids:
        return ()
    found = [node_of(entry, mark_place) for entry in json.loads(engine.must("inspect", *ids))]
    # kind counts up without leading zeros: worker, worker2, ..., worker10.
    return tuple(sorted(found, key=lambda node: (node.role != "control-plane", len(node.name), node.name)))


def node_of(entry: Mapping[str, Any], mark_place: str) -> Node:
    """A node from what `docker inspect` says of its container."""
    marks = [m.get("Source", "") for m in entry.get("Mounts", []) if m.get("Destination") == mark_place]
    state = entry["State"]
    return Node(
        id=entry["Id"],
        name=entry["Name"].lstrip("/"),
        role=(entry["Config"].get("Labels") or {}).get(ROLE_LABEL, ""),
        running=bool(state.get("Running")),
        pid=int(state.get("Pid", 0)),
        started=str(state.get("StartedAt", "")),
        mark=marks[0] if marks else "",
    )


def has_image(engine: Engine, reference: str) -> bool:
    """Whether the engine has an image of that name."""
    return engine.run("image", "inspect", "--format", "{{.Id}}", reference).ok


def image_label(engine: Engine, reference: str, label: str) -> str:
    """A label of an image that the engine has, "" where it is not set."""
    result = engine.run("image", "inspect", "--format", f'{{{{index .Config.Labels "{label}"}}}}', reference)
    said = result.stdout.strip()
    return said if result.ok and said != "<no value>" else ""


def has_network(engine: Engine, name: str) -> bool:
    """Whether the engine has a network of that name."""
    return engine.run("network", "inspect", name).ok


def remove(engine: Engine, containers: Sequence[Node]) -> None:
    """Remove containers with what is in them; LabsError if one stays."""
    if containers:
        engine.must("rm", "--force", "--volumes", *(node.id for node in containers), timeout=120)
