"""The Gateway API's own definitions (standard channel): the kinds of routes, and the policy that guards them.

They are the project's, unchanged: from its release or, where that cannot be had, out of its Go module. Both are brought
into one form, JSON with sorted keys and objects in a fixed order, whose SHA-256 stands in clusters/versions.toml. So
they are the same objects whichever way they came, and a cached file that is not what it was is fetched again.

`python -m labsupport.cluster.gatewayapi` prints the digest of what the Go module holds, for a change of version.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labsupport.cluster import versions
from labsupport.cluster.cachedir import explained_if_full, locked
from labsupport.cluster.versions import Definitions
from labsupport.console import note, phase
from labsupport.errors import LabsError
from labsupport.paths import private_directory, write_private

NAME = "gateway-api"
FILE = "definitions.json"
LARGEST = 8 << 20  # bytes of a release's file; that of 1.6.3 has 1.2 million
ANCHOR = "programs"


@dataclass(frozen=True)
class Held:
    """The definitions in the cache, and how they came there: "release", "module" or "bundle"."""

    file: Path
    version: str
    sha256: str
    origin: str


def ensure(cache_dir: Path, environ: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """The objects, fetched if the cache does not have them. LabsError says what was tried and why it did not work."""
    return list(json.loads(held(cache_dir, environ).file.read_bytes()))


def prepare(cache_dir: Path) -> None:
    """Fetch what `ensure` will want, for a time without a network; whoever has none now is told."""
    try:
        held(cache_dir)
    except LabsError as error:
        note(f"  the mesh cannot be installed as long as this is so: {error.what}")


def held(cache_dir: Path, environ: Mapping[str, str] | None = None) -> Held:
    """As `ensure`, but where the objects are."""
    wanted = versions.definitions(NAME)
    found = in_cache(cache_dir)
    if found is not None:
        return found
    with explained_if_full(cache_dir), locked(private_directory(cache_dir / NAME) / "lock"):
        found = in_cache(cache_dir)  # another run may have been at it
        if found is not None:
            return found
        with phase(f"Gateway API {wanted.version}"):
            content, origin = _fetch(wanted, cache_dir, os.environ if environ is None else environ)
            return keep(cache_dir, content, origin)


def place(cache_dir: Path) -> Path:
    """The directory of the definitions that versions.toml names, there or not."""
    wanted = versions.definitions(NAME)
    return cache_dir / NAME / f"{wanted.version}-{wanted.sha256[:12]}"


def in_cache(cache_dir: Path) -> Held | None:
    """What the cache has, if it is what versions.toml names."""
    wanted = versions.definitions(NAME)
    file = place(cache_dir) / FILE
    try:
        if hashlib.sha256(file.read_bytes()).hexdigest() != wanted.sha256:
            return None
        origin = file.with_name("origin").read_text().strip()
    except OSError:
        return None
    return Held(file, wanted.version, wanted.sha256, origin)


def keep(cache_dir: Path, content: bytes, origin: str) -> Held:
    """Put the definitions into the cache. LabsError when they are not those that versions.toml names."""
    wanted = versions.definitions(NAME)
    require(content, wanted)
    directory = private_directory(place(cache_dir))
    write_private(directory / "origin", origin + "\n")
    write_private(directory / FILE, content.decode())  # last: what has this name is complete
    return Held(directory / FILE, wanted.version, wanted.sha256, origin)


def require(content: bytes, wanted: Definitions) -> None:
    """LabsError unless these are the definitions that are wanted."""
    digest = hashlib.sha256(content).hexdigest()
    if digest != wanted.sha256:
        raise LabsError(
            f"not the objects of version {wanted.version}: SHA-256 is {digest}, not {wanted.sha256}"
        )


def in_one_form(documents: Iterable[Mapping[str, Any]]) -> bytes:
    """Objects as they are kept: the same bytes for the same objects."""
    ordered = sorted(documents, key=lambda each: (each["kind"], each["metadata"]["name"]))
    return json.dumps(ordered, sort_keys=True, separators=(",", ":")).encode()


def _fetch(wanted: Definitions, cache_dir: Path, environ: Mapping[str, str]) -> tuple[bytes, str]:
    """The definitions in the one form, by the first way that leads there, and its name."""
    tried = []
    for origin, way in (("release", _from_release), ("module", from_module)):
        try:
            content = way(wanted, cache_dir, environ)
            require(content, wanted)
            return content, origin
        except LabsError as error:
            tried.append(f"  - {origin}: {error.what}")
    raise LabsError(
        "\n".join([f"the definitions of the Gateway API {wanted.version} cannot be had:", *tried]),
        fix="connect to the network (HTTPS_PROXY, GOPROXY and your certificate settings are used) and try again, "
        "or use an offline bundle (labs up --bundle DIR)",
        anchor=ANCHOR,
    )


def _from_release(wanted: Definitions, cache_dir: Path, environ: Mapping[str, str]) -> bytes:
    from labsupport.cluster.binaries import fetch
    from labsupport.kube import objects

    try:
        text = fetch.text(fetch.session(environ), wanted.release, largest=LARGEST)
    except fetch.FetchError as error:
        raise LabsError(str(error)) from None
    return in_one_form(objects.parse(text))


def from_module(wanted: Definitions, cache_dir: Path, environ: Mapping[str, str]) -> bytes:
    """The definitions in the project's Go module, whose own digest go.sum has. LabsError says what Go said."""
    from labsupport.kube import objects

    directory = module_directory(wanted, cache_dir, environ) / wanted.files
    return in_one_form(
        document for file in sorted(directory.glob("gateway*.yaml")) for document in objects.load(file)
    )


def module_directory(wanted: Definitions, cache_dir: Path, environ: Mapping[str, str]) -> Path:
    """The Go module's files, downloaded if need be and compared with go.sum. LabsError says what Go said."""
    from labsupport.cluster import process
    from labsupport.cluster.binaries import build, toolchain

    scratch = private_directory(cache_dir / "build")
    # The lock of builds: they use these directories as well, and empty the temporary one.
    with locked(private_directory(cache_dir / "bin") / "lock"):
        go = toolchain.find(versions.load().go, cache_dir, environ)
        done = process.run(
            [go.path, "mod", "download", "-json", wanted.package],
            cwd=wanted.module,
            env=build.go_environment(scratch, environ),
        )
    try:
        said = json.loads(done.stdout)
    except ValueError:
        said = {}
    if not done.ok or not said.get("Dir"):
        raise LabsError(f"go mod download: {said.get('Error') or done.reason()}")
    return Path(said["Dir"])


def main() -> int:
    """Print the digest of what the Go module holds."""
    from labsupport import paths

    content = from_module(versions.definitions(NAME), paths.cache(), os.environ)
    print(hashlib.sha256(content).hexdigest())
    return 0


if __name__ == "__main__":
    sys.exit(main())
