"""The image catalogue on the host: read, checked, compiled for the node, and listed by `labs images`.

`clusters/images/catalogue.toml` is the one list of image names. The node reads the compiled form (JSON) because its
runtime has no TOML models and no pydantic.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from labsupport import paths
from labsupport.errors import LabsError

CATALOGUE = paths.CLUSTERS / "images" / "catalogue.toml"
PROGRAMS = "/opt/labs/bin"
PACKAGE = "/opt/labs/lib"
SITE = "/opt/labs/site"
# The kubelet asks for a size; an image is the course root, which all of them share.
NOMINAL_SIZE = 200 << 20

_REFERENCE = re.compile(r"[a-z0-9.-]+(/[a-z0-9._-]+)+:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/")]


class Entry(BaseModel):
    """One image as it is written in the catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str
    entrypoint: list[str] = []
    command: list[str] = []
    env: dict[str, str] = {}
    working_dir: AbsolutePath = "/"
    user: Annotated[int, Field(ge=0, lt=65536)] = 0
    programs: dict[str, AbsolutePath] = {}
    package: bool = False
    aliases: list[str] = []
    layers: list[str] = []


class Defaults(BaseModel):
    """What every image starts from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    env: dict[str, str] = {}


class Catalogue(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    defaults: Defaults = Defaults()
    images: dict[str, Entry]


def read_catalogue(path: Path = CATALOGUE) -> Catalogue:
    """Read and check the catalogue; raises LabsError naming the line or field that is wrong."""
    try:
        catalogue = Catalogue.model_validate(tomllib.loads(path.read_text()))
    except tomllib.TOMLDecodeError as error:
        raise LabsError(f"{path} is not TOML: {error}", fix="correct that line") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise LabsError(f"{path}: {where}: {first['msg']}", fix="correct that entry") from error
    seen: set[str] = set()
    for name, entry in catalogue.images.items():
        for reference in (name, *entry.aliases):
            if not _REFERENCE.fullmatch(reference):
                raise LabsError(
                    f"{path}: {reference!r} is not an image name with domain and tag",
                    fix='write it like "labs.example/shell:1"',
                )
            if reference in seen:
                raise LabsError(f"{path}: the name {reference!r} appears twice", fix="remove one of the two")
            seen.add(reference)
        if not entry.entrypoint + entry.command:
            raise LabsError(f"{path}: {name!r} has nothing to run", fix="give it an entrypoint or a command")
    return catalogue


def compile_entry(
    name: str, entry: Entry, defaults: Defaults, layers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """One image as the node's runtime reads it, with the digest that serves as its id.

    `layers`: where in the node the layers are that an entry may name. KeyError for another.
    """
    env = {**defaults.env, **entry.env}
    binds = [{"source": f"{PROGRAMS}/{name}", "target": target} for name, target in entry.programs.items()]
    if entry.package:
        binds.append({"source": PACKAGE, "target": PACKAGE})
        env.setdefault("PYTHONPATH", f"{PACKAGE}:{SITE}")
    compiled: dict[str, Any] = {
        "entrypoint": entry.entrypoint,
        "command": entry.command,
        "env": env,
        "working_dir": entry.working_dir,
        "user": entry.user,
        "binds": binds,
        "aliases": entry.aliases,
        "size": NOMINAL_SIZE,
    }
    if entry.layers:
        compiled["layers"] = [(layers or {})[layer] for layer in entry.layers]
    # The name is part of it: two names for equal content stay two images.
    content = json.dumps([name, compiled], sort_keys=True).encode()
    return {**compiled, "digest": f"sha256:{hashlib.sha256(content).hexdigest()}"}


def compiled_catalogue(path: Path = CATALOGUE, layers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The content of /etc/labs/catalogue.json: {"images": {name: entry}}; `layers` as in `compile_entry`.

    Raises LabsError.
    """
    catalogue = read_catalogue(path)
    return {
        "images": {
            name: compile_entry(name, entry, catalogue.defaults, layers)
            for name, entry in sorted(catalogue.images.items())
        }
    }


def listing(path: Path = CATALOGUE) -> list[dict[str, Any]]:
    """What `labs images` shows: for each image its name, what it is, what it runs, and as whom."""
    catalogue = read_catalogue(path)
    return [
        {
            "name": name,
            "about": entry.about,
            "run": entry.entrypoint + entry.command,
            "user": entry.user,
            "id": compile_entry(name, entry, catalogue.defaults)["digest"],
        }
        for name, entry in sorted(catalogue.images.items())
    ]
