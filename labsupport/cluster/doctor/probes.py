"""Look at this machine. Each function reads; only the trial makes anything, in a directory that it removes again."""

from __future__ import annotations

import json
import os
import platform
import pwd
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from labsupport import paths
from labsupport.cluster import binaries, courseroot, directory, versions
from labsupport.cluster.doctor.facts import Facts, Ids, Leftover, Limits, Place, Step
from labsupport.cluster.embedded import delegation, holder, idmap, removal, subids
from labsupport.errors import LabsError
from labsupport.patience import patient

TRIAL_SECONDS = patient(10.0)
REACH_SECONDS = 1.5  # for the place of releases: the doctor is to answer in 3 s
APT_PROGRAMS = ("apt-get", "apt-cache", "dpkg-deb")
KUBELET_CONTROLLERS = (
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
)  # those of version 1 that it refuses to start without
GB = 1e9


def look(cluster_name: str, backend: str = "embedded") -> Facts:
    """Gather all facts; usually within a second."""
    state, cache = paths.state_location(), paths.cache()
    groups, controllers = control_groups(Path("/sys/fs/cgroup"), Path("/proc/self/mountinfo").read_text())
    given = delegation.find(cluster_name)
    missing, unofficial = programs(cache, versions.names(backend))
    id_map, about_ids = ids(cluster_name)
    return Facts(
        system=platform.system(),
        kernel=kernel(platform.release()),
        machine=platform.machine(),
        python=sys.version_info[:3],
        root=os.geteuid() == 0,
        steps=trial(state, id_map),
        limits=limits(Path("/proc")),
        control_groups=groups,
        control_group_controllers=controllers,
        limits_controllers=given.controllers,
        no_limits=given.why_not,
        memory_gb=memory_gb(Path("/proc/meminfo").read_text(), Path("/sys/fs/cgroup")),
        state=place(state),
        cache=place(cache),
        missing_programs=missing,
        unofficial_programs=unofficial,
        go=go_version(os.environ),
        release_reachable=reachable(missing[0]) if missing else None,
        course_root=has_course_root(cache),
        apt=tuple(name for name in APT_PROGRAMS if shutil.which(name) is None),
        clock=time.time(),
        newest_file=versions.FILE.stat().st_mtime,
        loopback=loopback(),
        clusters=clusters(),
        ids=about_ids,
    )


def kernel(release: str) -> tuple[int, ...]:
    """The first two numbers of a kernel release such as "6.1.0-18-amd64"."""
    words = release.replace("-", ".").split(".")
    return tuple(int(word) for word in words[:2] if word.isdigit())


def trial(state: Path, id_map: idmap.IdMap) -> tuple[Step, ...]:
    """Run trial.py in a child, on the file system of the clusters' state."""
    parent = _existing(state)
    try:
        scratch = tempfile.mkdtemp(dir=parent if os.access(parent, os.W_OK) else None, prefix=".labs-doctor-")
    except OSError as error:
        return (Step("directory", error.errno or -1, str(error)),)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "labsupport.cluster.doctor.trial", scratch, json.dumps(asdict(id_map))],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TRIAL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return (Step("trial", -1, f"no end within {TRIAL_SECONDS:.0f} s"),)
    finally:
        directory.remove_tree(Path(scratch))
    steps = parse_steps(done.stdout)
    said = done.stderr.strip().splitlines()
    if done.returncode != 0 or said:
        steps += (Step("trial", -1, said[-1] if said else f"exit status {done.returncode}"),)
    return steps


def parse_steps(output: str) -> tuple[Step, ...]:
    """The trial's JSON lines as records."""
    records = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return tuple(Step(record["step"], record["errno"], record["error"]) for record in records)


def limits(proc: Path) -> Limits:
    """The kernel's settings about user namespaces, from a /proc."""

    def number(name: str) -> int | None:
        try:
            return int((proc / "sys" / name).read_text())
        except (OSError, ValueError):
            return None

    status = (proc / "self/status").read_text()
    seccomp = [line.split()[1] for line in status.splitlines() if line.startswith("Seccomp:")]
    mounts = [line.split()[4] for line in (proc / "self/mountinfo").read_text().splitlines()]
    return Limits(
        max_user_namespaces=number("user/max_user_namespaces"),
        unprivileged_userns_clone=number("kernel/unprivileged_userns_clone"),
        apparmor_restrict=number("kernel/apparmor_restrict_unprivileged_userns"),
        seccomp=int(seccomp[0]) if seccomp else 0,
        chroot="/" not in mounts,  # a changed root that is no mount point is not listed
        masked_proc=any(
            point.startswith("/proc/") and not point.startswith("/proc/sys/fs/") for point in mounts
        ),
    )


def ids(cluster_name: str) -> tuple[idmap.IdMap, Ids]:
    """The map that the cluster will have if it can, and what is known of this user's subordinate ids."""
    recorded = removal.recorded_map(directory.ClusterDirectory(cluster_name))
    best = idmap.for_this_user()
    chosen = idmap.to_start_with(best, recorded) or best
    # Root of a machine needs none, and root of a container has none to give.
    mine = subids.of_this_user() if os.geteuid() else subids.Setup(lacking="this is root of a container")
    status = Path("/proc/self/status").read_text()
    paths_of = [found for name in subids.PROGRAMS if (found := shutil.which(name))]
    try:
        own_group = pwd.getpwuid(os.geteuid()).pw_gid
    except KeyError:
        own_group = os.getegid()
    return chosen, Ids(
        kind=chosen.kind,
        first=chosen.sub_uid,
        shared=_sharing(chosen),
        recorded=recorded.kind if recorded else "",
        lacking=mine.lacking,
        fix=mine.fix,
        no_new_privileges="NoNewPrivs:\t1" in status,
        powerless=tuple(program for program in paths_of if not has_power(program)),
        other_group=own_group != os.getegid(),
    )


def _sharing(id_map: idmap.IdMap) -> tuple[str, ...]:
    if id_map.kind != "subordinate":
        return ()
    name = subids.account_of(id_map.uid_base)
    lines = subids.parse(subids.text_of("uid"))
    return subids.shared_with(lines, id_map.sub_uid, name, id_map.uid_base)


def has_power(program: str) -> bool:
    """Whether a program runs with more rights than its caller has: set-user-id or capabilities, and not ignored."""
    if os.statvfs(program).f_flag & os.ST_NOSUID:
        return False
    if Path(program).stat().st_mode & stat.S_ISUID:
        return True
    try:
        return bool(os.getxattr(program, "security.capability"))
    except OSError:
        return False


def control_groups(root: Path, mountinfo: str) -> tuple[str, tuple[str, ...]]:
    """The version of control groups that the kubelet will see, and the controllers that it has."""
    try:
        return "v2", tuple((root / "cgroup.controllers").read_text().split())
    except OSError:
        pass
    controllers: set[str] = set()
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.split()[0] == "cgroup":
            controllers |= set(rest.split()[2].split(","))
            controllers |= set(Path(fields.split()[4]).name.split(","))
    known = tuple(name for name in KUBELET_CONTROLLERS if name in controllers)
    return ("v1" if known else "none"), known


def memory_gb(meminfo: str, group_root: Path) -> float:
    """Memory that new processes can have: what the kernel calls available, or less where a control group limits us."""
    values = {line.split(":")[0]: int(line.split()[1]) for line in meminfo.splitlines() if line.strip()}
    available = values.get("MemAvailable", values.get("MemFree", 0)) * 1024
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            left = int((group_root / limit).read_text()) - int((group_root / used).read_text())
        except (OSError, ValueError):
            continue  # "max": no limit
        available = min(available, max(left, 0))
    return available / GB


def place(path: Path) -> Place:
    """What matters of the directory that `path` is or will be in."""
    real = _existing(path)
    status, system = real.stat(), os.statvfs(real)
    return Place(
        path=str(path),
        kind=file_system(real.resolve(), Path("/proc/self/mountinfo").read_text()),
        free_gb=system.f_bavail * system.f_frsize / GB,
        writable=os.access(real, os.W_OK | os.X_OK),
        noexec=bool(system.f_flag & os.ST_NOEXEC),
        owned=status.st_uid == os.geteuid() or real != path,
    )


def file_system(path: Path, mountinfo: str) -> str:
    """The type of the file system that `path` is on. Source: proc(5), mountinfo."""
    best, kind = "", "unknown"
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        point = fields.split()[4].replace("\\040", " ")
        # `>=`: of several mounts on one point the last one is seen.
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, rest.split()[0]
    return kind


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def programs(cache: Path, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those of the programs `names` that the cache lacks, and those it has that are no official release."""
    missing, unofficial = [], []
    for name in names:
        program = versions.program(name)
        kept = sorted((cache / "bin").glob(f"{name}-{program.version}-*/{name}.json"))
        if os.environ.get(binaries.variable(name)):
            continue
        if not kept:
            missing.append(name)
            continue
        try:
            if json.loads(kept[-1].read_text()).get("unofficial"):
                unofficial.append(name)
        except (OSError, ValueError):
            missing.append(name)
    return tuple(missing), tuple(unofficial)


def go_version(environ: Mapping[str, str]) -> str:
    """The version of the Go on PATH, "" where there is none."""
    go = shutil.which("go", path=environ.get("PATH"))
    if go is None:
        return ""
    try:
        # GOTOOLCHAIN=local: its own version, and no download of another one.
        done = subprocess.run(
            [go, "env", "GOVERSION"],
            env={**environ, "GOTOOLCHAIN": "local"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().removeprefix("go")


def reachable(name: str) -> bool:
    """Whether the official release of a program can be fetched (proxy settings are honoured)."""
    request = urllib.request.Request(versions.program(name).checksum, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=REACH_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def has_course_root(cache: Path) -> bool:
    """Whether the course root is made."""
    try:
        key = courseroot.digest(courseroot.load(), idmap.for_this_user().owner_base)
    except LabsError:
        return False  # not for this machine: the check of apt says more
    return (cache / "course-root" / key / "manifest.json").exists()


def loopback() -> str:
    """ "" or why nothing can listen on the loopback address."""
    try:
        with socket.create_server(("127.0.0.1", 0)):
            return ""
    except OSError as error:
        return str(error)


def clusters() -> tuple[Leftover, ...]:
    """The clusters that have state here."""
    found = []
    for name in directory.existing():
        place = directory.ClusterDirectory(name)
        try:
            record = place.read_record()
            half = not record or bool(record.get("removing"))
        except LabsError:
            half = False
        found.append(Leftover(name, running=holder.find(place) is not None, half_made=half))
    return tuple(found)
