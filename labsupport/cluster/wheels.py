"""Python packages into a directory, from a requirements file with digests.

By the uv that made the project's environment (bootstrap.py finds it or fetches it by pip), with the user's index,
proxy and certificate settings.
"""

from __future__ import annotations

import sys
from pathlib import Path

from labsupport import bootstrap
from labsupport.cluster import process
from labsupport.errors import LabsError

GLIBC = "2_28"  # the C library that wheels may ask for, where nothing else is said


def install(
    requirements: Path, target: Path, *, python_version: str, machine: str, glibc: str = GLIBC
) -> None:
    """Install wheels for CPython `python_version` on Linux `machine` (uname's name) into `target`.

    `glibc`: the newest C library that they may ask for, as wheels write it (PEP 600). Each must match a digest in
    `requirements`; nothing is built from source. LabsError says what uv said.
    """
    try:
        uv = bootstrap.find_uv()
    except SystemExit as error:  # bootstrap.py is a program of its own, and this is how it reports
        raise LabsError(str(error)) from None
    target.mkdir(parents=True, exist_ok=True)
    result = process.run(
        command(uv, requirements, target, python_version, machine, glibc),
        env=bootstrap.environment() | bootstrap.index_settings() | {"UV_LINK_MODE": "copy"},
    )
    if not result.ok:
        raise LabsError(
            f"cannot install the Python packages of {requirements}: {result.reason(6)}",
            fix="check the network and the settings of uv or pip (index, proxy, certificates), then try again",
        )
    (target / ".lock").unlink(missing_ok=True)  # uv's own, writable for all


def command(
    uv: Path, requirements: Path, target: Path, python_version: str, machine: str, glibc: str = GLIBC
) -> list[str]:
    """The command that installs; the interpreter named is only asked what it is, nothing goes into it."""
    return [
        *(str(uv), "pip", "install", "--quiet", "--python", sys.executable),
        # Wheels for the course root's Python, not for the one that runs this.
        *("--python-version", python_version, "--python-platform", f"{machine}-manylinux_{glibc}"),
        *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *("--target", str(target), "-r", str(requirements)),
    ]
