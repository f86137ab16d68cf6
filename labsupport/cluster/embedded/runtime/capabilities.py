"""Capability names, the set a container starts with, and what a Pod's securityContext makes of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# ruff: noqa: SIM905 - a list of 41 quoted names would be harder to read

# The order is the kernel's numbering (linux/capability.h).
NAMES: Final = tuple(
    """CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
    SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
    AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
    PERFMON BPF CHECKPOINT_RESTORE""".split()
)

# What containerd and CRI-O give a container that asks for nothing.
DEFAULT: Final = frozenset(
    """CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE
    SYS_CHROOT KILL AUDIT_WRITE""".split()
)


class UnknownCapability(ValueError):
    """A name that no kernel has."""


def _normal(names: Iterable[str]) -> set[str]:
    plain = {name.upper().removeprefix("CAP_") for name in names}
    if unknown := sorted(plain - set(NAMES) - {"ALL"}):
        raise UnknownCapability(f"unknown capability: {', '.join(unknown)}")
    return plain


def allowed(add: Iterable[str], drop: Iterable[str], *, privileged: bool = False) -> tuple[str, ...]:
    """The capabilities of a container, in the kernel's order.

    "ALL" in either list means all of them. As the CRI says, a capability both added and dropped is kept
    when only the other list says ALL, and dropped when it is in both by name.
    """
    if privileged:
        return NAMES
    added, dropped = _normal(add), _normal(drop)
    if "ALL" in added:
        result = set(NAMES) - dropped
        if "ALL" in dropped:
            result = set()
    else:
        base: set[str] = set() if "ALL" in dropped else set(DEFAULT)
        result = (base | added) - dropped
    return tuple(name for name in NAMES if name in result)
