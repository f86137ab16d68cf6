"""Make a running cluster ready for a suite, and take everything of it away again.

What the suite needs lies in one directory of the node (/var/lib/labs-conformance), put there from the host: programs,
the test root, a kubeconfig. Its images are in the node's catalogue only meanwhile: the runtime reads that file again
when it has changed, and the next start of the cluster writes it anew in any case.
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
from labsupport.cluster.embedded import holder, idmap
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


@contextmanager
def prepared(
    directory: ClusterDirectory, programs: Mapping[str, Path], repositories: str
) -> Iterator[Prepared]:
    """A running embedded cluster with the suite's programs and images; without them again at the end.

    `programs`: those of PROGRAMS. `repositories`: where the suite finds its images (KUBE_TEST_REPO_LIST).
    LabsError when the cluster does not run.
    """
    held = holder.find(directory)
    if held is None:
        raise LabsError(f"Cluster {directory.name!r} is not running.", fix=f"labs up --name {directory.name}")
    owner_base = idmap.for_this_user().owner_base
    cache = paths.cache()
    root = testroot.ensure(cache, courseroot.ensure(cache, owner_base=owner_base), owner_base)
    node = node_directory(directory)
    outside = node.var / Path(PLACE).relative_to("/var")
    try:
        remove_tree(outside)
        _fill(outside, root, programs)
        (outside / "repositories.yaml").write_text(repositories)
        paths.write_private(outside / "kubeconfig", _kubeconfig(directory))
        if owner_base is not None:
            os.chown(outside, owner_base, owner_base)
            for name in ("bin", "out", "home", "layers", "kubeconfig", "repositories.yaml"):
                give(outside / name, owner_base)
        _write_catalogue(node, owner_base, with_tests=True)
        yield Prepared(held.init, PLACE, outside)
    finally:
        _write_catalogue(node, owner_base, with_tests=False)
        remove_tree(outside)


def _fill(outside: Path, root: Path, programs: Mapping[str, Path]) -> None:
    """Copies, not links: what a privileged Pod writes must not reach the cache."""
    outside.mkdir(mode=0o755)
    for name in ("bin", "out", "home"):
        (outside / name).mkdir()
    copied = process.run(["cp", "--archive", "--reflink=auto", root, outside / "root"])
    if not copied.ok:
        raise LabsError(f"the test root cannot be copied into the cluster: {copied.reason()}")
    shutil.copytree(SMALL_LAYERS, outside / "layers")
    for name in SUITE_PROGRAMS:
        shutil.copy(programs[name], outside / "bin" / name)
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
