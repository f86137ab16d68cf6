"""From facts to checks: pure functions, one for each check, in the order in which they are shown.

Each check's anchor in clusters/README.md is its id.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from labsupport.cluster.doctor.check import Check
from labsupport.cluster.doctor.facts import Facts, Ids, Place, Step

KERNEL_OLDEST = (5, 12)  # mount_setattr(2); overlay in a user namespace came with 5.11
PYTHON_OLDEST = (3, 11)
MACHINES = ("x86_64", "aarch64")
FURTHER_NODE_GB = 0.2  # its programs when idle; what is measured lies below
MEMORY_GB = 3.0  # an idle cluster, JupyterLab, and a lab's Pods
RUN_GB = 1.0  # course root, containers' files, etcd
NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "afs", "ceph")
SUBORDINATE_IDS = 65_535  # of a cluster (subids.py)
KUBELET_V1 = ("cpu", "cpuacct", "cpuset", "memory")


def check(name: str, ok: bool, message: str, fix: str = "", *, fatal: bool = True) -> Check:
    """A check's record; the fix of one that is ok is left out."""
    return Check(id=name, ok=ok, fatal=fatal, message=message, fix="" if ok else fix, anchor=name)


def step_of(facts: Facts, name: str) -> Step | None:
    """What the trial said of a step; None if it did not come so far."""
    return next((step for step in facts.steps if step.name == name), None)


def kernel(facts: Facts) -> Check:
    """Linux, new enough, on a machine that we have programs for."""
    version = ".".join(map(str, facts.kernel))
    oldest = ".".join(map(str, KERNEL_OLDEST))
    if facts.system != "Linux":
        return check(
            "kernel",
            False,
            f"This is {facts.system}; a cluster needs Linux.",
            "use a Linux machine (WSL 2 is one)",
        )
    if facts.machine not in MACHINES:
        message = f"This machine is a {facts.machine}; there are programs for {' and '.join(MACHINES)}."
        return check("kernel", False, message, "use a machine of one of these kinds")
    ok = facts.kernel >= KERNEL_OLDEST
    return check(
        "kernel",
        ok,
        f"Linux {version} on {facts.machine}",
        f"use a kernel from {oldest} on (Debian 12 has 6.1)",
    )


def python(facts: Facts) -> Check:
    """The Python that runs us."""
    version = ".".join(map(str, facts.python))
    ok = facts.python >= PYTHON_OLDEST
    return check("python", ok, f"Python {version}", "make env PYTHON=/path/to/a/python3.11-or-newer")


def user_namespaces(facts: Facts) -> Check:
    """Whether we may make a user namespace, with our id mapped in it and with power over it."""
    name = "user-namespaces"
    for needed in ("user-namespace", "id-map", "namespaces", "mount"):
        step = step_of(facts, needed)
        if step is not None and step.errno == 0:
            continue
        failed = step or next(
            (step for step in facts.steps if step.errno), Step(needed, -1, "the trial ended early")
        )
        return check(name, False, *_why_no_namespaces(facts, failed))
    return check(name, True, "User namespaces can be made." + (" (tried as root)" if facts.root else ""))


def _why_no_namespaces(facts: Facts, step: Step) -> tuple[str, str]:
    """What forbids user namespaces, and the exact step that allows them."""
    limits = facts.limits
    tried = f"{step.name}: {step.error}"
    if limits.chroot:
        message = f"This is a changed root directory (chroot), where no user namespace can be made ({tried})."
        return message, "use systemd-nspawn, a container or a virtual machine instead of chroot"
    if limits.max_user_namespaces == 0:
        return (
            f"This machine allows no user namespace ({tried}).",
            "sudo sysctl user.max_user_namespaces=15000",
        )
    if step.errno == errno.ENOSPC:
        message = f"The limit of {limits.max_user_namespaces} user namespaces is reached ({tried})."
        return message, "sudo sysctl user.max_user_namespaces=15000"
    if limits.unprivileged_userns_clone == 0 and not facts.root:
        message = f"Ordinary users may not make user namespaces ({tried})."
        return message, "sudo sysctl kernel.unprivileged_userns_clone=1"
    if limits.apparmor_restrict == 1 and not facts.root:
        message = f"AppArmor lets ordinary users make only powerless user namespaces ({tried})."
        return message, "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    if limits.seccomp == 2:
        message = f"A seccomp filter, as container runtimes set it, forbids user namespaces ({tried})."
        return (
            message,
            "start the container with --security-opt seccomp=unconfined --security-opt systempaths=unconfined",
        )
    return f"User namespaces cannot be made ({tried}).", "run it as another user, or in a virtual machine"


def proc_mount(facts: Facts) -> Check:
    """Whether the node can have a /proc and a /sys of its own."""
    for name in ("proc", "sysfs", "tmpfs"):
        step = step_of(facts, name)
        if step is not None and step.errno:
            masked = (
                " Parts of /proc are hidden here, and then the kernel refuses a fresh one."
                if facts.limits.masked_proc
                else ""
            )
            fix = (
                "start the container with --security-opt systempaths=unconfined"
                if masked
                else "run it outside of a container"
            )
            return check("proc-mount", False, f"No fresh {name} can be mounted ({step.error}).{masked}", fix)
    return _from_step(
        facts,
        "proc-mount",
        "proc",
        "A node can have its own /proc and /sys.",
        "No fresh /proc can be mounted",
        "",
    )


def overlay(facts: Facts) -> Check:
    """Whether containers' roots can lie on the state's file system."""
    good = f"Overlays work on {facts.state.path} ({facts.state.kind})."
    bad = f"No overlay can be mounted on {facts.state.path} ({facts.state.kind})"
    return _from_step(
        facts, "overlay", "overlay", good, bad, "export XDG_STATE_HOME=/a/directory/on/ext4-or-xfs"
    )


def network(facts: Facts) -> Check:
    """Whether Pods can have interfaces."""
    bad = "No virtual Ethernet pair can be made"
    return _from_step(
        facts, "network", "veth", "Pods can have network interfaces.", bad, "sudo modprobe veth"
    )


def nftables(facts: Facts) -> Check:
    """Whether kube-proxy can have its rules."""
    bad = "No nftables rule can be made"
    fix = "sudo modprobe -a nf_tables nft_chain_nat nft_masq nft_ct"
    return _from_step(facts, "nftables", "nftables", "Services can have their nftables rules.", bad, fix)


def _from_step(facts: Facts, name: str, step_name: str, good: str, bad: str, fix: str) -> Check:
    step = step_of(facts, step_name)
    if step is None:
        return check(name, False, "Not tried: a step before it failed.", "mend the failed check above first")
    return check(name, step.errno == 0, good if step.errno == 0 else f"{bad}: {step.error}.", fix)


def inotify(facts: Facts) -> Check:
    """Whether enough inotify instances are left; without them components stop with "too many open files"."""
    bad = "Too few inotify instances are left for this user"
    good = "Enough inotify instances are left."
    return _from_step(
        facts, "inotify", "inotify", good, bad, "sudo sysctl fs.inotify.max_user_instances=1024"
    )


def control_groups(facts: Facts) -> Check:
    """What the kubelet wants to see, and whether there are some to put containers' limits into."""
    name = "control-groups"
    if facts.no_limits:
        note = f"limits of memory and CPU are not enforced: {facts.no_limits}"
    else:
        names = [name for name in ("memory", "cpu") if name in facts.limits_controllers]
        note = f"limits of {' and '.join(names)} are enforced"
    if facts.control_groups == "v2":
        return check(name, True, f"Control groups version 2; {note}.")
    lacking = [controller for controller in KUBELET_V1 if controller not in facts.control_group_controllers]
    if lacking:
        message = f"The kubelet does not start without these control groups: {', '.join(lacking)}."
        return check(
            name, False, message, "mount /sys/fs/cgroup (in a container: start it with --cgroupns=host)"
        )
    return check(name, True, f"Control groups version 1; {note}.")


def ids(facts: Facts) -> Check:
    """How users of containers map to users of this machine; a fault only where what is set up does not work."""
    about = facts.ids
    if about.kind == "range":
        return _id_check(True, "As root: containers' users are a range of ids that no account has.")
    step = step_of(facts, "subordinate-ids")
    if about.kind == "subordinate" and step is not None and step.errno == 0:
        last = about.first + SUBORDINATE_IDS - 1
        if about.shared:
            return _id_check(
                False,
                f"Some of your subordinate ids ({about.first} to {last}) are {' and '.join(about.shared)}'s as well: "
                "who shares them has power over your containers' processes.",
                "have each line of /etc/subuid and /etc/subgid name other ids (subuid(5))",
            )
        return _id_check(
            True,
            "With subordinate ids: root in a container is you outside of it, the others are your ids "
            f"{about.first} to {last}.",
        )
    if about.kind == "subordinate":
        why = step.error if step else "the trial ended early"
        if about.recorded == "subordinate":
            return _id_check(
                False,
                f"This cluster was made with your subordinate ids, and now you may not use them: {why}",
                about.fix or _mend_subordinate(about),
                fatal=True,
            )
        return _id_check(
            False,
            f"Your subordinate ids cannot be used: {why}. A new cluster has one id: every user in a container is you.",
            _mend_subordinate(about),
        )
    one = "With one id: every user in a container is you outside of it."
    if not about.lacking:
        # Only a cluster that was made so has one id then.
        return _id_check(
            True, f"{one} You have more by now: `labs down` and `labs up` make the cluster with them."
        )
    to_have = f" To have them: {about.fix}" if about.fix else ""
    return _id_check(True, f"{one} No subordinate ids: {about.lacking}.{to_have}")


def _id_check(ok: bool, message: str, fix: str = "", *, fatal: bool = False) -> Check:
    return check("ids", ok, message, fix, fatal=fatal)


def _mend_subordinate(about: Ids) -> str:
    """The step that makes newuidmap work, as far as can be seen why it does not."""
    if about.no_new_privileges:
        return "run it outside of the sandbox or service that sets no_new_privs: there set-user-id programs do nothing"
    if about.powerless:
        return f"sudo chmod u+s {' '.join(about.powerless)} (or a file system that is not mounted nosuid)"
    if about.other_group:
        return "run it with your own group, not in a shell of `newgrp` or `sg`"
    return "mend your lines in /etc/subuid and /etc/subgid: they must not overlap with ids of anybody else (subuid(5))"


def memory(facts: Facts, nodes: int = 1) -> Check:
    """Memory that is free to use, for a cluster of `nodes` nodes."""
    wanted = MEMORY_GB + (nodes - 1) * FURTHER_NODE_GB
    cluster = "a cluster" if nodes == 1 else f"a cluster of {nodes} nodes"
    message = (
        f"{facts.memory_gb:.1f} GB of memory can be used; {cluster} and JupyterLab need about {wanted:.3g}."
    )
    return check(
        "memory",
        facts.memory_gb >= wanted,
        message,
        "close other programs",
        fatal=facts.memory_gb < wanted / 2,
    )


def disk_space(facts: Facts, build_gb: float) -> Check:
    """Free disk: more where Kubernetes is to be built."""
    building = facts.missing_programs and not facts.release_reachable
    needs: tuple[tuple[Place, float], ...] = (
        (facts.cache, build_gb if building else RUN_GB),
        (facts.state, RUN_GB),
    )
    for place, needed in needs:
        if place.free_gb < needed:
            message = f"{place.free_gb:.1f} GB free for {place.path}; {needed:.0f} GB are needed."
            variable = "XDG_CACHE_HOME" if place is facts.cache else "XDG_STATE_HOME"
            return check("disk-space", False, message, f"free some, or export {variable}=/a/larger/disk")
    return check(
        "disk-space",
        True,
        f"{facts.cache.free_gb:.0f} GB free for the cache, {facts.state.free_gb:.0f} for clusters.",
    )


def directories(facts: Facts) -> Check:
    """Whether our directories are of use: ours, writable, local, and programs in the cache may run."""
    for place, variable in ((facts.state, "XDG_STATE_HOME"), (facts.cache, "XDG_CACHE_HOME")):
        fix = f"export {variable}=/a/local/directory/of/yours"
        if not place.owned:
            return check("directories", False, f"{place.path} belongs to another user.", fix)
        if not place.writable:
            return check("directories", False, f"{place.path} cannot be written.", fix)
        if place.kind in NETWORK_FILE_SYSTEMS:
            return check(
                "directories", False, f"{place.path} is on a network file system ({place.kind}).", fix
            )
    if facts.cache.noexec:
        message = f"No program may run from {facts.cache.path} (mounted noexec)."
        return check(
            "directories", False, message, "export XDG_CACHE_HOME=/a/directory/where/programs/may/run"
        )
    return check("directories", True, f"{facts.state.path} and {facts.cache.path} are of use.")


def programs(facts: Facts, go_oldest: tuple[int, ...], minutes: float) -> Check:
    """Where the cluster's programs will come from."""
    if not facts.missing_programs:
        return check("programs", True, "The cluster's programs are in the cache.", fatal=False)
    missing = f"{len(facts.missing_programs)} programs are not in the cache"
    if facts.release_reachable:
        return check("programs", True, f"{missing}; they will be downloaded.", fatal=False)
    build = f"{missing}; no official release is reachable: they will be built (about {minutes:.0f} minutes)"
    go = tuple(int(part) for part in facts.go.split(".") if part.isdigit())
    if go >= go_oldest:
        return check("programs", True, f"{build} with Go {facts.go}.", fatal=False)
    fix = "install Go, or set HTTPS_PROXY, or give programs of your own by LABS_BIN_KUBELET=... and so on"
    return check(
        "programs", False, f"{build}; Go for it will be fetched as a Python package.", fix, fatal=False
    )


def course_root(facts: Facts) -> Check:
    """The containers' root: made already, or apt is there to make it."""
    if facts.course_root:
        return check("course-root", True, "The containers' root is in the cache.")
    if facts.apt:
        message = (
            f"The containers' root is made from Debian packages, but there is no {', '.join(facts.apt)} here."
        )
        return check(
            "course-root",
            False,
            message,
            "run it on Debian 12 (a virtual machine or a container of it will do)",
        )
    return check("course-root", True, "The containers' root will be made from Debian packages (about 45 MB).")


def official_build(facts: Facts) -> Check:
    """Whether Kubernetes is as its project released it: to be known, not to be mended."""
    if not facts.unofficial_programs:
        return check("official-build", True, "No program in the cache is an unofficial build.", fatal=False)
    names = ", ".join(facts.unofficial_programs)
    message = f"Unofficial build, made on this machine from the released Go modules: {names}."
    return check("official-build", True, message, fatal=False)


def clock(facts: Facts) -> Check:
    """A clock in the past makes every certificate "not yet valid"."""
    ok = facts.clock > facts.newest_file - 86_400
    message = (
        "The clock is plausible."
        if ok
        else "The clock is before the time at which this course's files were written."
    )
    return check("clock", ok, message, "sudo timedatectl set-ntp true, or `sudo date -s ...`")


def loopback(facts: Facts) -> Check:
    """The API server is reached on 127.0.0.1."""
    message = facts.loopback or "Ports can be opened on 127.0.0.1."
    return check("loopback", not facts.loopback, message, "sudo ip link set lo up")


def leftovers(facts: Facts, name: str) -> Check:
    """What an interrupted command left behind."""
    half = [cluster.name for cluster in facts.clusters if cluster.half_made and not cluster.running]
    if half:
        message = f"Half-made clusters are left from an interrupted command: {', '.join(half)}."
        return check(
            "leftovers",
            False,
            message,
            f"labs up --name {half[0]} goes on; labs down --name {half[0]} removes it",
            fatal=False,
        )
    known = ", ".join(
        f"{cluster.name} ({'running' if cluster.running else 'stopped'})" for cluster in facts.clusters
    )
    return check(
        "leftovers", True, f"Clusters here: {known or 'none'}; {name!r} is the one asked about.", fatal=False
    )


def judge(
    facts: Facts,
    *,
    name: str = "labs",
    nodes: int = 1,
    build_gb: float = 5.0,
    go_oldest: tuple[int, ...] = (1, 26),
    minutes: float = 10.0,
) -> tuple[Check, ...]:
    """All checks on these facts."""
    plain: tuple[Callable[[Facts], Check], ...] = (
        kernel, python, user_namespaces, proc_mount, overlay, network, nftables, inotify, control_groups, ids
    )  # fmt: skip
    return (
        *(function(facts) for function in plain),
        memory(facts, nodes),
        disk_space(facts, build_gb),
        directories(facts),
        programs(facts, go_oldest, minutes),
        course_root(facts),
        official_build(facts),
        clock(facts),
        loopback(facts),
        leftovers(facts, name),
    )
