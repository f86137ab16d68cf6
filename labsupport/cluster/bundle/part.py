"""What a bundle is made of: parts, each one archive with its list of packages and their licence texts.

A back end says which parts it needs; how they are checked, listed and carried is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from labsupport.cluster.licences import Package
from labsupport.console import Phase

Kind = Literal["program", "course-root", "image", "wheels", "definitions"]


@dataclass(frozen=True)
class Part:
    """One archive of a bundle.

    name: the archive's name without version and suffix. key: a digest of all that decides the archive's content; an
    archive made before from the same key is kept. size: bytes that its content takes, unpacked. make: writes the
    archive to the path it gets, the same bytes each time, and shows how far it is. packages: what is in it, with
    licence texts; called after `make`. content: what the one that installs it must know, as JSON. backends: who
    needs it.
    """

    name: str
    kind: Kind
    version: str
    origin: str
    unofficial: bool
    key: str
    size: int
    make: Callable[[Path, Phase], None]
    packages: Callable[[], Sequence[Package]]
    backends: tuple[str, ...]
    suffix: str = ".tar.gz"
    content: Mapping[str, Any] = field(default_factory=dict)
