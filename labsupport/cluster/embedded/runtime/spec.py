"""What the CRI server tells the shim about a sandbox, a container or an exec: plain data, sent as JSON.

Bytes that are not UTF-8 (environment values, arguments) travel as Python's surrogate escapes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

PRIVATE, SLAVE, SHARED = "private", "slave", "shared"


@dataclass(frozen=True)
class Mount:
    """One directory or file of the node shown in a container; `propagation` is PRIVATE, SLAVE or SHARED.

    With `lower` it is one of an image: `lower` is as in `Root`, and `source` is a path in what that makes.
    """

    source: str
    target: str
    readonly: bool = False
    recursive_readonly: bool = False
    propagation: str = PRIVATE
    lower: str = ""


@dataclass(frozen=True)
class Privileges:
    """Who a process is: ids, supplementary groups, the capabilities it may ever have.

    `nested` says that the ids do not exist in the node's user namespace, so that the process gets a user
    namespace of its own in which its one id has the wanted number.
    """

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    capabilities: tuple[str, ...] = ()
    no_new_privileges: bool = False
    nested: bool = False
    oom_score_adj: int | None = None


@dataclass(frozen=True)
class Root:
    """How a container's file system is built.

    `lower` is read-only and shared: one directory, or several with ":" between them, the uppermost first. `layer` is
    the container's own directory for what it writes, `shm` the sandbox's shared memory directory.
    """

    lower: str
    layer: str
    shm: str
    mounts: tuple[Mount, ...] = ()
    masked: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    readonly: bool = False
    privileged: bool = False


@dataclass(frozen=True)
class ContainerSpec:
    """A container's main process. `namespaces` maps net, ipc, uts, pid to a namespace file.

    Without "pid" the container gets a PID namespace of its own, unless `host_pid`. `control_group` is the directory of
    its own group; without one ("") it stays in the shim's and has no limits.
    """

    id: str
    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    root: Root
    privileges: Privileges
    namespaces: dict[str, str] = field(default_factory=dict)
    host_pid: bool = False
    tty: bool = False
    stdin: bool = False
    log_path: str = ""
    stage: str = "/run/labs/stage"
    control_group: str = ""


@dataclass(frozen=True)
class ExecSpec:
    """One more process in a running container."""

    container_id: str
    argv: tuple[str, ...]
    tty: bool = False


@dataclass(frozen=True)
class SandboxSpec:
    """A sandbox's namespaces; empty `address` means the node's own network."""

    id: str
    directory: str
    hostname: str
    network_namespace: str = ""
    address: str = ""
    gateway: str = ""
    prefix_length: int = 24
    link: str = ""
    sysctls: dict[str, str] = field(default_factory=dict)
    own_ipc: bool = True
    shared_pid: bool = False
    course_root: str = "/opt/course-root"
    stage: str = "/run/labs/stage"


def to_json(spec: ContainerSpec | ExecSpec | SandboxSpec) -> dict[str, Any]:
    """The spec as a dictionary that `json` can write."""
    return asdict(spec)


def container_from_json(data: dict[str, Any]) -> ContainerSpec:
    """The opposite of `to_json` for a container."""
    root = dict(data["root"])
    mounts = tuple(Mount(**mount) for mount in root.pop("mounts"))
    for key in ("masked", "readonly_paths"):
        root[key] = tuple(root[key])
    privileges = dict(data["privileges"])
    for key in ("groups", "capabilities"):
        privileges[key] = tuple(privileges[key])
    rest = {key: value for key, value in data.items() if key not in ("root", "privileges", "argv")}
    return ContainerSpec(
        argv=tuple(data["argv"]),
        root=Root(mounts=mounts, **root),
        privileges=Privileges(**privileges),
        **rest,
    )


def exec_from_json(data: dict[str, Any]) -> ExecSpec:
    """The opposite of `to_json` for an exec."""
    return ExecSpec(data["container_id"], tuple(data["argv"]), data["tty"])


def sandbox_from_json(data: dict[str, Any]) -> SandboxSpec:
    """The opposite of `to_json` for a sandbox."""
    return SandboxSpec(**data)
