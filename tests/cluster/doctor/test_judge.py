"""Every check of the doctor is made to fail, one fact at a time, on an otherwise healthy machine."""

from __future__ import annotations

import errno
import re
from dataclasses import replace
from pathlib import Path

import pytest

from labsupport.cluster.doctor import check, judge
from labsupport.cluster.doctor.facts import Facts, Ids, Leftover, Limits, Place, Step

STEPS = (
    "inotify",
    "user-namespace",
    "id-map",
    "namespaces",
    "mount",
    "proc",
    "sysfs",
    "tmpfs",
    "overlay",
    "veth",
    "nftables",
)
HEALTHY = Facts(
    system="Linux",
    kernel=(6, 1),
    machine="x86_64",
    python=(3, 11, 2),
    root=False,
    steps=tuple(Step(name, 0, "") for name in STEPS),
    limits=Limits(max_user_namespaces=90_000),
    control_groups="v2",
    control_group_controllers=("cpu", "memory"),
    limits_controllers=("cpu", "memory"),
    no_limits="",
    memory_gb=8.0,
    state=Place("/home/ada/.local/state/labs", "ext4", 50.0, writable=True, noexec=False),
    cache=Place("/home/ada/.cache/labs", "ext4", 50.0, writable=True, noexec=False),
    missing_programs=(),
    unofficial_programs=(),
    go="1.27.1",
    release_reachable=None,
    course_root=True,
    apt=(),
    clock=1_800_000_000.0,
    newest_file=1_790_000_000.0,
    loopback="",
)


def failing(name: str, number: int, error: str = "refused") -> tuple[Step, ...]:
    """The trial's steps when step `name` fails: those before it worked."""
    before = [Step(step, 0, "") for step in STEPS[: STEPS.index(name)]]
    ends_trial = name in ("user-namespace", "id-map", "namespaces", "mount")
    after = [] if ends_trial else [Step(step, 0, "") for step in STEPS[STEPS.index(name) + 1 :]]
    return (*before, Step(name, number, error), *after)


BROKEN: list[tuple[str, str, dict[str, object], str]] = [
    # check, what is broken, facts, a word of the fix
    ("kernel", "another system", {"system": "Darwin"}, "WSL 2"),
    ("kernel", "too old", {"kernel": (5, 10)}, "5.12"),
    ("kernel", "another processor", {"machine": "riscv64"}, "machine of one of these"),
    ("python", "too old", {"python": (3, 10, 4)}, "PYTHON="),
    ("memory", "too little", {"memory_gb": 1.2}, "close"),
    ("disk-space", "for clusters", {"state": replace(HEALTHY.state, free_gb=0.2)}, "XDG_STATE_HOME"),
    (
        "disk-space",
        "for a build",
        {
            "missing_programs": ("kubelet",),
            "release_reachable": False,
            "cache": replace(HEALTHY.cache, free_gb=3.0),
        },
        "XDG_CACHE_HOME",
    ),
    ("directories", "another's", {"state": replace(HEALTHY.state, owned=False)}, "XDG_STATE_HOME"),
    ("directories", "read-only", {"cache": replace(HEALTHY.cache, writable=False)}, "XDG_CACHE_HOME"),
    ("directories", "on a network", {"state": replace(HEALTHY.state, kind="nfs4")}, "local"),
    ("directories", "noexec", {"cache": replace(HEALTHY.cache, noexec=True)}, "XDG_CACHE_HOME"),
    (
        "proc-mount",
        "masked",
        {"steps": failing("proc", errno.EPERM), "limits": Limits(masked_proc=True)},
        "systempaths",
    ),
    ("proc-mount", "no sysfs", {"steps": failing("sysfs", errno.EPERM)}, "outside of a container"),
    ("overlay", "no xattr", {"steps": failing("overlay", errno.EOPNOTSUPP)}, "ext4"),
    ("network", "no veth", {"steps": failing("veth", errno.EOPNOTSUPP)}, "modprobe veth"),
    ("nftables", "no module", {"steps": failing("nftables", errno.ENOENT)}, "modprobe -a nf_tables"),
    ("inotify", "used up", {"steps": failing("inotify", errno.EMFILE)}, "max_user_instances"),
    (
        "control-groups",
        "v1 incomplete",
        {"control_groups": "v1", "control_group_controllers": ("cpu",)},
        "cgroupns",
    ),
    ("control-groups", "none", {"control_groups": "none", "control_group_controllers": ()}, "/sys/fs/cgroup"),
    (
        "programs",
        "no way but Go from afar",
        {"missing_programs": ("etcd",), "release_reachable": False, "go": ""},
        "HTTPS_PROXY",
    ),
    (
        "programs",
        "Go too old",
        {"missing_programs": ("etcd",), "release_reachable": False, "go": "1.19.8"},
        "Go",
    ),
    ("course-root", "no apt", {"course_root": False, "apt": ("apt-get",)}, "Debian 12"),
    ("clock", "in the past", {"clock": 1_000_000_000.0}, "timedatectl"),
    ("loopback", "down", {"loopback": "Cannot assign requested address"}, "ip link set lo up"),
    ("leftovers", "half made", {"clusters": (Leftover("labs", running=False, half_made=True),)}, "labs down"),
]

NAMESPACES: list[tuple[str, dict[str, object], str]] = [
    # what forbids them, facts, the exact step
    (
        "none allowed",
        {"steps": failing("user-namespace", errno.ENOSPC), "limits": Limits(max_user_namespaces=0)},
        "sudo sysctl user.max_user_namespaces=15000",
    ),
    (
        "all used",
        {"steps": failing("user-namespace", errno.ENOSPC), "limits": Limits(max_user_namespaces=10)},
        "sudo sysctl user.max_user_namespaces=15000",
    ),
    (
        "Debian's switch",
        {"steps": failing("user-namespace", errno.EPERM), "limits": Limits(unprivileged_userns_clone=0)},
        "sudo sysctl kernel.unprivileged_userns_clone=1",
    ),
    (
        # The namespace is made, but without power: what comes after fails.
        "AppArmor",
        {"steps": failing("id-map", errno.EPERM), "limits": Limits(apparmor_restrict=1)},
        "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    (
        "AppArmor, later",
        {"steps": failing("mount", errno.EACCES), "limits": Limits(apparmor_restrict=1)},
        "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    (
        "a container's seccomp filter, as root",
        {"root": True, "steps": failing("user-namespace", errno.EPERM), "limits": Limits(seccomp=2)},
        "--security-opt seccomp=unconfined",
    ),
    (
        "a chroot",
        {"steps": failing("user-namespace", errno.EPERM), "limits": Limits(chroot=True)},
        "instead of chroot",
    ),
    ("something else", {"steps": failing("user-namespace", errno.EPERM)}, "another user"),
    ("the trial did not run", {"steps": (Step("trial", -1, "no end within 10 s"),)}, "another user"),
]


TAKEN = (Step("subordinate-ids", 0, ""), *HEALTHY.steps)
REFUSED = (Step("subordinate-ids", -1, "newuidmap: write to uid_map failed"), *HEALTHY.steps)
BROKEN_IDS: list[tuple[str, Ids, str]] = [
    # why newuidmap fails, what is known, a word of the fix
    ("no privileges to be had", Ids(no_new_privileges=True), "no_new_privs"),
    ("no set-user-id bit", Ids(powerless=("/usr/bin/newuidmap",)), "sudo chmod u+s /usr/bin/newuidmap"),
    ("another group", Ids(other_group=True), "newgrp"),
    ("the lines", Ids(), "/etc/subuid"),
]


def changed(facts: dict[str, object]) -> Facts:
    return replace(HEALTHY, **facts)  # type: ignore[arg-type]


def by_id(checks: tuple[check.Check, ...]) -> dict[str, check.Check]:
    return {one.id: one for one in checks}


def test_a_healthy_machine_passes_every_check() -> None:
    checks = judge.judge(HEALTHY)
    assert [one for one in checks if not one.ok] == []
    assert all(one.fix == "" for one in checks)
    assert check.healthy(checks)


@pytest.mark.parametrize(
    ("name", "what", "facts", "fix"), BROKEN, ids=[f"{row[0]}: {row[1]}" for row in BROKEN]
)
def test_a_broken_machine_fails_that_check_alone(
    name: str, what: str, facts: dict[str, object], fix: str
) -> None:
    checks = judge.judge(changed(facts))
    failed = [one for one in checks if not one.ok]
    assert [one.id for one in failed] == [name]
    assert fix in failed[0].fix
    assert "\n" not in failed[0].fix


@pytest.mark.parametrize(("what", "facts", "fix"), NAMESPACES, ids=[row[0] for row in NAMESPACES])
def test_forbidden_namespaces_give_the_exact_step(what: str, facts: dict[str, object], fix: str) -> None:
    checks = by_id(judge.judge(changed(facts)))
    assert not checks["user-namespaces"].ok
    assert checks["user-namespaces"].fatal
    assert fix in checks["user-namespaces"].fix
    assert not checks["overlay"].ok, "what was not tried is not called good"
    assert not check.healthy(tuple(checks.values()))


def test_each_check_that_can_fail_has_a_fixture_that_makes_it_fail() -> None:
    informational = {"official-build"}
    covered = {row[0] for row in BROKEN} | {"user-namespaces", "ids"}
    assert {one.id for one in judge.judge(HEALTHY)} - informational == covered


@pytest.mark.parametrize(
    ("root", "about", "steps", "said"),
    [
        (True, Ids(kind="range"), HEALTHY.steps, "a range of ids that no account has"),
        (False, Ids(kind="subordinate", first=100_000), TAKEN, "your ids 100000 to 165534"),
        (False, Ids(lacking="there is no newuidmap", fix="sudo x"), HEALTHY.steps, "To have them: sudo x"),
        (False, Ids(lacking="there is no newuidmap"), HEALTHY.steps, "every user in a container is you"),
        (
            False,
            Ids(recorded="single"),
            HEALTHY.steps,
            "`labs down` and `labs up` make the cluster with them",
        ),
    ],
)
def test_each_map_of_ids_is_said_and_is_no_failure(
    root: bool, about: Ids, steps: tuple[Step, ...], said: str
) -> None:
    check_of_ids = by_id(judge.judge(changed({"root": root, "ids": about, "steps": steps})))["ids"]
    assert check_of_ids.ok
    assert said in check_of_ids.message


@pytest.mark.parametrize(("why", "about", "fix"), BROKEN_IDS, ids=[row[0] for row in BROKEN_IDS])
def test_subordinate_ids_that_do_not_work_are_a_warning(why: str, about: Ids, fix: str) -> None:
    about = replace(about, kind="subordinate", first=100_000)
    checks = judge.judge(changed({"ids": about, "steps": REFUSED}))
    (failed,) = (one for one in checks if not one.ok)
    assert (failed.id, failed.fatal) == ("ids", False)
    assert "newuidmap: write to uid_map failed" in failed.message
    assert fix in failed.fix
    assert check.healthy(checks), "a cluster has one id then"


def test_ids_that_are_shared_are_a_warning() -> None:
    shared = Ids(kind="subordinate", first=100_000, shared=("bob",))
    check_of_ids = by_id(judge.judge(changed({"ids": shared, "steps": TAKEN})))["ids"]
    assert (check_of_ids.ok, check_of_ids.fatal) == (False, False)
    assert "are bob's as well" in check_of_ids.message
    assert "/etc/subuid" in check_of_ids.fix


def test_a_cluster_whose_ids_are_gone_cannot_run() -> None:
    gone = Ids(kind="subordinate", first=100_000, recorded="subordinate", fix="sudo apt-get install uidmap")
    check_of_ids = by_id(judge.judge(changed({"ids": gone, "steps": REFUSED})))["ids"]
    assert (check_of_ids.ok, check_of_ids.fatal) == (False, True)
    assert check_of_ids.fix == "sudo apt-get install uidmap"


def test_an_unofficial_build_is_said_and_is_no_failure() -> None:
    checks = by_id(judge.judge(changed({"unofficial_programs": ("kubelet",)})))
    assert checks["official-build"].ok
    assert "nofficial build" in checks["official-build"].message
    assert "kubelet" in checks["official-build"].message


def test_a_warning_does_not_make_the_machine_unfit() -> None:
    checks = judge.judge(changed({"clusters": (Leftover("labs", running=False, half_made=True),)}))
    assert not all(one.ok for one in checks)
    assert check.healthy(checks)


def test_ids_are_unique_and_stable_words() -> None:
    ids = [one.id for one in judge.judge(HEALTHY)]
    assert len(ids) == len(set(ids)) >= 10
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in ids)


def test_each_anchor_is_a_heading_of_the_troubleshooting_page() -> None:
    page = (Path(judge.__file__).parents[3] / "clusters" / "README.md").read_text()
    headings = {line.lstrip("#").strip() for line in page.splitlines() if line.startswith("#")}
    assert {one.anchor for one in judge.judge(HEALTHY)} <= headings


def test_the_human_form_names_fix_and_anchor_of_what_failed() -> None:
    text = check.describe(judge.judge(changed({"memory_gb": 0.5})))
    assert "FAILED" in text
    assert "Next: close other programs" in text
    assert "clusters/README.md#memory" in text
    assert "cannot run here yet" in text


def test_the_json_form_has_the_promised_keys() -> None:
    data = check.as_dict(judge.judge(HEALTHY))
    assert set(data["checks"][0]) == {"id", "ok", "fatal", "message", "fix", "anchor"}
