"""Make a running cluster ready for a suite, and take everything of it away again.

What the suite needs lies in one directory of each node (/var/lib/labs-conformance), put there from the host: the layers
of its images, and on the first node, where the suite runs, its programs and a kubeconfig. The images are in the nodes'
catalogues only meanwhile: a runtime reads that file again when it has changed, and the next start of the node writes it
anew in any case.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from labsupport import paths
from labsupport.cluster import courseroot, process
from labsupport.cluster.conformance import testroot
from labsupport.cluster.directory import ClusterDirectory, remove_tree
from labsupport.cluster.embedded import addresses, holder, idmap
from labsupport.cluster.embedded.addresses import FIRST, Addresses
from labsupport.cluster.embedded.nodes import count_of, states
from labsupport.cluster.embedded.prepare import NodeDirectory, give, kubeconfig, node_directory
from labsupport.cluster.images import compiled_catalogue
from labsupport.errors import LabsError

CATALOGUE = paths.CLUSTERS / "conformance" / "images.toml"
PLACE = "/var/lib/labs-conformance"  # in the node
SMALL_LAYERS = paths.CLUSTERS / "conformance" / "layers"
API = "https://127.0.0.1:6443"
# Programs of the images: name -> where, and the mode. The second is what `nonewprivs` is about.
IMAGE_PROGRAMS = (
    ("agnhost", "agnhost", 0o755),
    ("agnhost", "usr/local/bin/nnp", 0o4755),
    ("sample-apiserver", "sample-apiserver", 0o755),
)
SUITE_PROGRAMS = ("e2e.test", "ginkgo", "kubectl")
PROGRAMS = ("e2e.test", "ginkgo", "agnhost", "sample-apiserver", "kubectl")


def layers() -> dict[str, str]:
    """Where in the node the layers are that an image of the suite may name."""
    return {"tests": f"{PLACE}/root"} | {
        path.name: f"{PLACE}/layers/{path.name}" for path in sorted(SMALL_LAYERS.iterdir())
    }


@dataclass(frozen=True)
class Prepared:
    """A cluster that a suite can run against. `inside` and `outside` are the same directory, from node and host."""

    init: int  # the node's pid 1, on the host
    inside: str
    outside: Path
    nodes: int = 1  # those that run


@contextmanager
def prepared(
    directory: ClusterDirectory, programs: Mapping[str, Path], repositories: str
) -> Iterator[Prepared]:
    """A running embedded cluster with the suite's programs and, on every node that runs, its images; without
    them at the end.

    `programs`: those of PROGRAMS. `repositories`: where the suite finds its images (KUBE_TEST_REPO_LIST).
    LabsError when the cluster does not run.
    """
    held = holder.find(directory)
    if held is None:
        raise LabsError(f"Cluster {directory.name!r} is not running.", fix=f"labs up --name {directory.name}")
    owner_base = idmap.for_this_user().owner_base
    cache = paths.cache()
    root = testroot.ensure(cache, courseroot.ensure(cache, owner_base=owner_base), owner_base)
    count = count_of(directory)
    running = running_nodes(held, count)
    outside = _place(node_directory(directory))
    try:
        for node in running:
            place = _place(node_directory(directory, node))
            remove_tree(place)
            _fill_layers(place, root, programs)
            if owner_base is not None:
                os.chown(place, owner_base, owner_base)
                give(place / "layers", owner_base)
        _fill_programs(outside, programs)
        (outside / "repositories.yaml").write_text(repositories)
        paths.write_private(outside / "kubeconfig", _kubeconfig(directory))
        if owner_base is not None:
            for name in ("bin", "out", "home", "kubeconfig", "repositories.yaml"):
                give(outside / name, owner_base)
        for node in running:
            _write_catalogue(node_directory(directory, node), owner_base, with_tests=True)
        yield Prepared(held.init, PLACE, outside, len(running))
    finally:
        _take_away(directory, count, owner_base)


def running_nodes(held: holder.Held, count: int) -> list[Addresses]:
    """The nodes of a cluster of `count` that a test can use, the first one first: not those stopped or cut off."""
    return [node for node, state in states(held, count).items() if state == "running"]


def _place(node: NodeDirectory) -> Path:
    """PLACE of a node, on the host."""
    return node.var / Path(PLACE).relative_to("/var")


def _take_away(directory: ClusterDirectory, count: int, owner_base: int | None) -> None:
    """On every node that was ever started, running or not: an interrupted run may have left something there."""
    every = [node_directory(directory, node) for node in (FIRST, *addresses.workers(count))]
    started = [node for node in every if (node.etc / "labs").is_dir()]
    # All names before any files: a node must not have an image without its layers while another is emptied.
    for node in started:
        _write_catalogue(node, owner_base, with_tests=False)
    for node in started:
        remove_tree(_place(node))


def _fill_programs(outside: Path, programs: Mapping[str, Path]) -> None:
    for name in ("bin", "out", "home"):
        (outside / name).mkdir()
    for name in SUITE_PROGRAMS:
        shutil.copy(programs[name], outside / "bin" / name)


def _fill_layers(outside: Path, root: Path, programs: Mapping[str, Path]) -> None:
    """Copies, not links: what a privileged Pod writes must not reach the cache, nor another node."""
    outside.mkdir(mode=0o755)
    copied = process.run(["cp", "--archive", "--reflink=auto", root, outside / "root"])
    if not copied.ok:
        raise LabsError(f"the test root cannot be copied into the cluster: {copied.reason()}")
    shutil.copytree(SMALL_LAYERS, outside / "layers")
    owner = (outside / "root").stat()
    for name, place, mode in IMAGE_PROGRAMS:
        target = outside / "root" / place
        for parent in reversed(target.relative_to(outside / "root").parents):
            _make_owned(outside / "root" / parent, owner.st_uid, owner.st_gid)
        shutil.copyfile(programs[name], target)
        # In this order: a change of owner takes the set-user-id bit away.
        shutil.chown(target, owner.st_uid, owner.st_gid)
        target.chmod(mode)


def _make_owned(path: Path, user: int, group: int) -> None:
    if not path.is_dir():
        path.mkdir(mode=0o755)
        shutil.chown(path, user, group)


def _kubeconfig(directory: ClusterDirectory) -> str:
    """The administrator's, with the API server's address in the node."""
    ours = yaml.safe_load(directory.kubeconfig.read_text())
    cluster = {name: value for name, value in ours["clusters"][0]["cluster"].items() if name != "server"}
    return kubeconfig("conformance", API, cluster, ours["users"][0]["user"])


def _write_catalogue(node: NodeDirectory, owner_base: int | None, *, with_tests: bool) -> None:
    images = compiled_catalogue()["images"]
    if with_tests:
        images |= compiled_catalogue(CATALOGUE, layers())["images"]
    file = node.etc / "labs" / "catalogue.json"
    new = file.with_name("catalogue.json.new")
    paths.write_private(new, json.dumps({"images": images}))
    if owner_base is not None:
        give(new, owner_base)
    new.replace(file)
