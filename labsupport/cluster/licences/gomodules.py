"""Licence texts of the Go modules linked into a program, from Go's module cache.

What is not in the cache is downloaded by Go itself, with the user's GOPROXY, and must have the digest that the program
was linked with.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from labsupport.cluster import process, versions
from labsupport.cluster.binaries import build, toolchain
from labsupport.errors import LabsError
from labsupport.paths import private_directory

from . import Package, Text, gobinary, recognise
from .gobinary import BuildInformation, Module

NAMES = re.compile(r"(licen[cs]e|copying|notice|copyright|unlicense|patents)([.-].*)?", re.IGNORECASE)
NO_TEXT = re.compile(r".*\.(go|py|js|sh|tmpl|png|svg)", re.IGNORECASE)
SKIPPED = {"testdata", "node_modules", ".git"}
PUBLISHED = re.compile(r"v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+incompatible)?")
OURS = "labs.example/"  # our own main packages: their licence is this project's


def linked(
    program: Path, version: str, cache_dir: Path, environ: Mapping[str, str] | None = None
) -> list[Package]:
    """The packages linked into a Go program of `version`: Go's own library first, then the modules by name.

    What a release was built from in its own working tree has no version of its own: it is listed with the program's,
    and its licence is that of the program's module. ValueError when `program` is no Go program; LabsError when a text
    cannot be had.
    """
    information = gobinary.read(program)
    environment = os.environ if environ is None else environ
    sources = sources_of(information, version)
    places = _places(sorted(set(sources.values()), key=_order), cache_dir, environment)
    packages = [_standard_library(information.go, cache_dir, environment)]
    for module in sorted(sources, key=_order):
        texts = texts_of(places[sources[module]])
        packages.append(
            Package(
                name=module.path,
                version=module.version,
                purl=f"pkg:golang/{quote(module.path)}@{quote(module.version)}",
                texts=texts,
                licence=recognise.expression(texts),
                relation="STATIC_LINK",
            )
        )
    return packages


def sources_of(information: BuildInformation, version: str) -> dict[Module, Module]:
    """Each linked module that is not ours, and the published module that has its licence."""
    whole = Module(information.main, f"v{version}", "")
    sources = {}
    for module in information.modules:
        if module.path.startswith(OURS):
            continue
        if PUBLISHED.fullmatch(module.version) and module.version != "v0.0.0":
            sources[module] = module
        else:
            sources[Module(module.path, whole.version, "")] = whole
    return sources


def _order(module: Module) -> tuple[str, str]:
    return module.path, module.version


def escaped(path: str) -> str:
    """A module path as directories of the module cache have it: "!" and the small letter for a capital."""
    return re.sub(r"[A-Z]", lambda letter: "!" + letter.group().lower(), path)


@functools.cache
def texts_of(directory: Path) -> tuple[Text, ...]:
    """Every licence text below a module's directory: code taken over from others has texts of its own there."""
    found = []
    for parent, directories, files in os.walk(directory):
        directories[:] = sorted(name for name in directories if name not in SKIPPED)
        for name in sorted(files):
            path = Path(parent, name)
            # A directory LICENSES holds texts under any name.
            within = "LICENSES" in path.relative_to(directory).parts[:-1]
            if (within or NAMES.fullmatch(name)) and not NO_TEXT.fullmatch(name):
                found.append(Text(str(path.relative_to(directory)), path.read_bytes()))
    return tuple(found)


def _places(modules: Sequence[Module], cache_dir: Path, environ: Mapping[str, str]) -> dict[Module, Path]:
    """Where each module's files are, downloaded if need be."""
    scratch = private_directory(cache_dir / "build")
    places = {
        module: scratch / "gomod" / f"{escaped(module.path)}@{escaped(module.version)}" for module in modules
    }
    missing = [module for module, place in places.items() if not place.is_dir()]
    if missing:
        _download(missing, scratch, cache_dir, environ)
    return places


def _download(modules: Iterable[Module], scratch: Path, cache_dir: Path, environ: Mapping[str, str]) -> None:
    go = toolchain.find(versions.load().go, cache_dir, environ)
    wanted = {f"{module.path}@{module.version}": module for module in modules}
    settings = {
        "GO111MODULE": "on",
        "GOPATH": str(scratch / "gopath"),  # else a directory `go` appears in the user's home
        # The program itself says which digest each module had: that decides, not a data base of the network.
        "GONOSUMDB": "*",
    }
    # In a directory without go.mod: else versions other than its own would be refused.
    result = process.run(
        [go.path, "mod", "download", "-json", *wanted],
        cwd=private_directory(scratch / "tmp"),
        env=build.go_environment(scratch, environ) | settings,
    )
    failed = [str(entry["Error"]) for entry in _objects(result.stdout) if entry.get("Error")]
    for entry in _objects(result.stdout):
        module = wanted.get(f"{entry.get('Path')}@{entry.get('Version')}")
        if module and module.digest and entry.get("Sum") not in (None, module.digest):
            failed.append(
                f"{module.path} {module.version} has digest {entry['Sum']}, linked was {module.digest}"
            )
    if failed or not result.ok:
        raise LabsError(
            "cannot get the sources of linked Go modules, which have their licences: "
            + ("; ".join(failed[:3]) or result.reason()),
            fix="check the network and GOPROXY, then try again",
        )


def _objects(text: str) -> list[dict[str, object]]:
    """JSON objects written one after another."""
    decoder, at, found = json.JSONDecoder(), 0, []
    while (at := len(text) - len(text[at:].lstrip())) < len(text):
        value, at = decoder.raw_decode(text, at)
        found.append(value)
    return found


def _standard_library(version: str, cache_dir: Path, environ: Mapping[str, str]) -> Package:
    """Go's library and run time, part of every Go program. Its licence is the same in all versions of Go 1."""
    texts = _go_texts(cache_dir, tuple(sorted(environ.items())))
    return Package(
        name="std",
        version=version,
        purl=f"pkg:golang/std@{version}",
        texts=texts,
        licence=recognise.expression(texts),
        relation="STATIC_LINK",
        remark="Go's standard library and run time",
    )


@functools.cache
def _go_texts(cache_dir: Path, environ: tuple[tuple[str, str], ...]) -> tuple[Text, ...]:
    go = toolchain.find(versions.load().go, cache_dir, dict(environ))
    result = process.run([go.path, "env", "GOROOT"], env=dict(environ) | {"GOTOOLCHAIN": "local"})
    return go_texts_of(Path(result.stdout.strip()))


def go_texts_of(root: Path) -> tuple[Text, ...]:
    """The licence of Go at `root`, its GOROOT, and of what its library takes over from others."""
    # The toolchain's wheel leaves the first one out, Debian moves it; the same authors' modules have the same text.
    places = ("LICENSE", "src/cmd/vendor/golang.org/x/mod/LICENSE", "src/vendor/golang.org/x/net/LICENSE")
    own = next((root / place for place in places if (root / place).is_file()), None)
    if own is None:
        return ()
    vendor = root / "src/vendor"
    taken = (
        [Text(f"src/vendor/{text.name}", text.content) for text in texts_of(vendor)]
        if vendor.is_dir()
        else []
    )
    return (Text("LICENSE", own.read_bytes()), *taken)
