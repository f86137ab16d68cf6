"""Python packages into a directory, from a requirements file with digests: by uv where it is, else by pip.

Both are run as their user would run them, so index, proxy and certificate settings hold.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from labsupport.cluster import process
from labsupport.errors import LabsError


def install(requirements: Path, target: Path, *, python_version: str, machine: str) -> None:
    """Install wheels for CPython `python_version` on Linux `machine` (uname's name) into `target`.

    Each must match a digest in `requirements`; nothing is built. LabsError names what was tried and what it
    said.
    """
    target.mkdir(parents=True, exist_ok=True)
    tried = []
    for name, command in commands(requirements, target, python_version, machine):
        result = process.run(command, env=os.environ | {"LC_ALL": "C.UTF-8"})
        if result.ok:
            return
        tried.append(f"{name}: {result.reason(6)}")
    reasons = "\n".join(f"  - {reason}" for reason in tried or ["neither uv nor pip is here"])
    raise LabsError(
        f"cannot install the Python packages of {requirements}\n{reasons}",
        fix="check the network and the settings of uv or pip, then try again",
    )


def commands(
    requirements: Path, target: Path, python_version: str, machine: str
) -> list[tuple[str, list[str]]]:
    """The installers of this machine, best first, with the command of each."""
    rest = [
        "--no-deps",
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--target",
        str(target),
        "-r",
        str(requirements),
    ]
    found = []
    uv = shutil.which("uv")
    if uv is not None:
        platform = f"{machine}-manylinux_2_28"
        found.append(
            (
                "uv",
                [
                    *(uv, "pip", "install", "--quiet", "--no-config", "--python", sys.executable),
                    *("--python-version", python_version, "--python-platform", platform),
                    *("--link-mode", "copy", *rest),
                ],
            )
        )
    pip = [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else None
    if pip is None and (other := shutil.which("pip3")):
        pip = [other]
    if pip is not None:
        platforms = [f"manylinux_2_28_{machine}", f"manylinux_2_17_{machine}", f"manylinux2014_{machine}"]
        found.append(
            (
                "pip",
                [
                    *(*pip, "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--upgrade"),
                    *("--python-version", python_version, "--implementation", "cp"),
                    *(f"--platform={platform}" for platform in platforms),
                    *rest,
                ],
            )
        )
    return found
