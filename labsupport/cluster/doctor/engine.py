"""What a kind cluster needs of this machine beside the general: a container engine, and what its nodes share with it.

`look` gathers, the others judge (pure functions). Sources: kind's page of known issues; docker-info(1).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labsupport.cluster.doctor import judge as general
from labsupport.cluster.doctor.check import Check
from labsupport.cluster.doctor.facts import Facts
from labsupport.cluster.doctor.judge import check
from labsupport.cluster.kind import docker

GB = 1e9
# What a node uses: 77 instances were in use with three nodes; the kernel's old default of 128 is just enough for one
# beside a desktop, and its old default of 8192 watches is not.
INSTANCES, WATCHES = 256, 65_536
DISK_GB = 4.0  # the node image, once in the engine's store, and what a cluster writes


@dataclass(frozen=True)
class EngineFacts:
    """What was found out about the container engine; `trouble` is None where it answers. None: could not be told."""

    trouble: docker.Trouble | None
    name: str = ""
    version: str = ""
    control_groups: str = ""  # "1", "2", "" unknown
    memory_gb: float | None = None  # of the engine's machine, which need not be this one
    free_gb: float | None = None  # where the engine keeps its data
    root: str = ""
    instances: int | None = None  # fs.inotify.max_user_instances
    watches: int | None = None
    kind_name: str = ""
    foreign: tuple[str, ...] = ()  # containers that have the cluster's name and not its mark


def look(name: str) -> EngineFacts:
    """Ask the engine, and the kernel's settings."""
    from labsupport.cluster.kind.backend import KindCluster, kind_name

    found = docker.look()
    instances, watches = _number("max_user_instances"), _number("max_user_watches")
    if isinstance(found, docker.Trouble):
        return EngineFacts(found, instances=instances, watches=watches, kind_name=kind_name(name))
    info = _info(found)
    root = str(info.get("DockerRootDir", ""))
    return EngineFacts(
        None,
        name=found.name,
        version=found.version,
        control_groups=str(info.get("CgroupVersion", "")),
        memory_gb=info["MemTotal"] / GB if isinstance(info.get("MemTotal"), int) else None,
        free_gb=_free(root),
        root=root,
        instances=instances,
        watches=watches,
        kind_name=kind_name(name),
        foreign=KindCluster(name).foreign(found),
    )


def _info(engine: docker.Engine) -> dict[str, Any]:
    result = engine.run("info", "--format", "{{json .}}")
    try:
        content = json.loads(result.stdout)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _number(name: str) -> int | None:
    try:
        return int(Path(f"/proc/sys/fs/inotify/{name}").read_text())
    except (OSError, ValueError):
        return None


def _free(root: str) -> float | None:
    import shutil

    try:
        return shutil.disk_usage(root).free / GB if root else None
    except OSError:
        return None  # not ours to look at, or on another machine


def engine(facts: EngineFacts) -> Check:
    """Whether a container engine answers."""
    if facts.trouble:
        what, fix = docker.explain(facts.trouble)
        return check("docker", False, what, fix)
    return check("docker", True, f"{facts.name} {facts.version} answers.")


def control_groups(facts: EngineFacts) -> Check:
    """Version 1 works still; the next versions of Kubernetes and kind want version 2."""
    if facts.control_groups == "1":
        return check(
            "control-groups",
            False,
            "Control groups version 1: they work still, and will not with later versions of kind.",
            "boot with systemd.unified_cgroup_hierarchy=1 when you can",
            fatal=False,
        )
    return check(
        "control-groups", True, f"Control groups version {facts.control_groups or 'not told'}.", fatal=False
    )


def inotify(facts: EngineFacts) -> Check:
    """Limits that the nodes share with everything of the same user on this machine."""
    for name, value, wanted in (
        ("max_user_instances", facts.instances, INSTANCES),
        ("max_user_watches", facts.watches, WATCHES),
    ):
        if value is not None and value < wanted:
            message = (
                f"fs.inotify.{name} is {value}; a node that shares it may stop with too many open files."
            )
            return check(
                "inotify", False, message, f"sudo sysctl fs.inotify.{name}={wanted * 4}", fatal=False
            )
    return check("inotify", True, "The limits of inotify are high enough.", fatal=False)


def memory(facts: EngineFacts) -> Check:
    """Memory of the engine's machine."""
    if facts.memory_gb is None:
        return check("memory", True, "The engine does not tell its memory.", fatal=False)
    wanted = general.MEMORY_GB
    message = f"The engine's machine has {facts.memory_gb:.1f} GB of memory; about {wanted:.0f} are needed."
    fix = "give Docker's virtual machine more memory" if facts.name else ""
    return check("memory", facts.memory_gb >= wanted, message, fix, fatal=facts.memory_gb < wanted / 2)


def disk_space(facts: EngineFacts) -> Check:
    """Room where the engine keeps images and containers."""
    if facts.free_gb is None:
        return check("disk-space", True, "The engine's disk is not ours to look at.", fatal=False)
    message = f"{facts.free_gb:.0f} GB free for {facts.root}; {DISK_GB:.0f} GB are needed."
    return check(
        "disk-space", facts.free_gb >= DISK_GB, message, "docker system prune, or free some space otherwise"
    )


def name_taken(facts: EngineFacts) -> Check:
    """Whether somebody else's kind cluster has the name."""
    if not facts.foreign:
        return check("name-taken", True, f"No other kind cluster is called {facts.kind_name!r}.")
    message = f"Another kind cluster has the name {facts.kind_name!r}: {', '.join(facts.foreign)}."
    return check("name-taken", False, message, "choose another --name; what is not ours is left alone")


def judge(
    facts: Facts,
    about: EngineFacts,
    *,
    name: str = "labs",
    go_oldest: tuple[int, ...] = (1, 26),
    minutes: float = 10.0,
) -> tuple[Check, ...]:
    """All checks for a kind cluster on these facts."""
    first: list[Check] = [general.kernel(facts), general.python(facts), engine(about)]
    if about.trouble is None:
        asked: tuple[Callable[[EngineFacts], Check], ...] = (control_groups, memory, disk_space, name_taken)
        first += [function(about) for function in asked]
    return (
        *first,
        inotify(about),
        general.directories(facts),
        general.programs(facts, go_oldest, minutes),
        general.course_root(facts),
        general.official_build(facts),
        general.clock(facts),
        general.loopback(facts),
        general.leftovers(facts, name),
    )
