"""What a program of the cluster is made of: the Go modules linked into it, or the project whose wheel it came in."""

from __future__ import annotations

from pathlib import Path

from labsupport.cluster import versions
from labsupport.cluster.binaries import Binary
from labsupport.errors import LabsError

from . import Package, Text, gomodules, recognise


def inside(binary: Binary, cache_dir: Path) -> list[Package]:
    """The packages in a program, with licence texts. LabsError when they cannot be told."""
    program = versions.program(binary.name)
    if program.wheel is not None:
        return [of_wheel(program.name, binary.version, program.wheel)]
    try:
        return gomodules.linked(binary.path, binary.version, cache_dir)
    except ValueError as error:
        raise LabsError(f"cannot tell what {binary.name} is made of: {error}") from None


def of_wheel(name: str, version: str, source: versions.WheelSource) -> Package:
    """The one package that a program from a wheel is listed as; its texts are those that the course keeps."""
    texts = tuple(Text(path.name, path.read_bytes()) for path in sorted(source.licences.iterdir()))
    return Package(
        name=name,
        version=version,
        purl=source.purl,
        texts=texts,
        licence=recognise.expression(texts),
        remark=source.remark,
    )
