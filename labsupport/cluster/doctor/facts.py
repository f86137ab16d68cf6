"""What the doctor found out about this machine: plain records, without a judgement."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """One step of the trial (trial.py): errno 0 means that it worked."""

    name: str
    errno: int
    error: str


@dataclass(frozen=True)
class Limits:
    """The kernel's settings that forbid or limit user namespaces; None where this kernel has no such setting."""

    max_user_namespaces: int | None = None
    unprivileged_userns_clone: int | None = None  # Debian's older kernels
    apparmor_restrict: int | None = None  # Ubuntu from 23.10 on
    seccomp: int = 0  # mode in /proc/self/status; 2: a filter, as container runtimes install it
    chroot: bool = False  # the kernel makes no user namespace for a process in a changed root directory
    masked_proc: bool = False  # something is mounted over parts of /proc, as container runtimes do


@dataclass(frozen=True)
class Place:
    """A directory that we keep things in, or the nearest one of its parents that exists."""

    path: str
    kind: str  # file system type
    free_gb: float
    writable: bool
    noexec: bool
    owned: bool = True  # by the calling user


@dataclass(frozen=True)
class Leftover:
    """A cluster with state on this machine."""

    name: str
    running: bool
    half_made: bool  # state without a readable record, or one half removed: an interrupted `up` or `down`


@dataclass(frozen=True)
class Ids:
    """Which ids the cluster asked about will have, and what is known of the user's subordinate ones."""

    kind: str = "single"  # that of idmap.IdMap; whether subordinate ids can be had, the trial's step tells
    first: int = 0  # of the subordinate user ids
    shared: tuple[str, ...] = ()  # who else was given some of them
    recorded: str = ""  # the kind that the cluster was made with; "": there is none yet
    lacking: str = ""  # why this user has no subordinate ids; "" where nothing is seen to lack
    fix: str = ""
    no_new_privileges: bool = False  # set-user-id programs have no power here
    powerless: tuple[str, ...] = ()  # of newuidmap and newgidmap, those without set-user-id bit or capability
    other_group: bool = False  # newuidmap refuses to work for who has changed his group (newgrp(1))


@dataclass(frozen=True)
class Facts:
    """Everything that the checks judge. Sizes in GB (10^9 bytes)."""

    system: str
    kernel: tuple[int, ...]
    machine: str
    python: tuple[int, ...]
    root: bool
    steps: tuple[Step, ...]
    limits: Limits
    control_groups: str  # "v2", "v1", "none"
    control_group_controllers: tuple[str, ...]
    limits_controllers: tuple[str, ...]  # those that containers can be put under
    no_limits: str  # why there are none, "" if there are
    memory_gb: float
    state: Place
    cache: Place
    missing_programs: tuple[str, ...]  # of the cluster's, not in our cache
    unofficial_programs: tuple[str, ...]
    go: str  # version of a Go on PATH, "" if there is none
    release_reachable: bool | None  # None: not asked, because nothing is missing
    course_root: bool  # in our cache
    apt: tuple[str, ...]  # of the programs that make a course root, those that are missing
    clock: float  # seconds since 1970
    newest_file: float  # modification time of clusters/versions.toml: the clock cannot be before it
    loopback: str  # "" or why nothing can listen on 127.0.0.1
    clusters: tuple[Leftover, ...] = field(default=())
    ids: Ids = Ids()
