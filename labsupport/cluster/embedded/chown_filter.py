"""A seccomp filter under which changing a file's owner succeeds and does nothing. Standard library only.

With a map of one id there is no other owner to give a file to: the kernel answers EINVAL, and the kubelet then refuses
every Pod that has runAsUser and a service account's token. Only the kubelet runs under this filter; in containers
chown fails as it really does. Source: seccomp(2), kernel's uapi/linux/{seccomp,filter}.h.
"""

from __future__ import annotations

import platform
import struct

from labsupport.cluster.embedded import linux

CHOWN_CALLS = {
    "x86_64": (92, 93, 94, 260),  # chown, fchown, lchown, fchownat
    "aarch64": (55, 54),  # fchown, fchownat
}
LOAD_NUMBER = 0x20  # BPF_LD | BPF_W | BPF_ABS, at offset 0 of struct seccomp_data
JUMP_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K
ALLOW = 0x7FFF0000  # SECCOMP_RET_ALLOW
ANSWER_ZERO = 0x00050000  # SECCOMP_RET_ERRNO with errno 0


def program(calls: tuple[int, ...]) -> bytes:
    """The BPF program: load the call's number, answer 0 for those listed, allow all others."""

    def instruction(code: int, if_true: int, if_false: int, operand: int) -> bytes:
        return struct.pack("HBBI", code, if_true, if_false, operand)

    comparisons = b"".join(
        instruction(JUMP_IF_EQUAL, len(calls) - index, 0, call) for index, call in enumerate(calls)
    )
    return (
        instruction(LOAD_NUMBER, 0, 0, 0)
        + comparisons
        + instruction(RETURN, 0, 0, ALLOW)
        + instruction(RETURN, 0, 0, ANSWER_ZERO)
    )


def install() -> None:
    """Put the calling process, and what it executes, under the filter."""
    linux.set_seccomp_filter(program(CHOWN_CALLS[platform.machine()]))
