"""The node image without a container registry: Debian packages, Go modules, and kind's own files put together.

Needs no root, no Docker and no chroot. What kind's Dockerfiles do is done here on an unpacked tree; what is in the node
and why is data under clusters/kind. The result carries the label `example.labs.unofficial` and names of its own for
the components' images, so that nobody takes it for kind's.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labsupport import paths
from labsupport.cluster import versions
from labsupport.cluster.binaries import Binary
from labsupport.cluster.cachedir import explained_if_full, locked, remove_tree
from labsupport.cluster.courseroot import CourseRoot, Description
from labsupport.cluster.kind import archive, images, node_root, preload
from labsupport.console import Phase, phase
from labsupport.errors import LabsError
from labsupport.paths import private_directory

STEPS = 2  # raise it when the code of this room makes another image from the same things
SPACE = 5 << 30  # bytes that the making takes at its height
DEFINITION = paths.CLUSTERS / "kind"
REPOSITORY = "unofficial.labs.example"
REPOSITORY_LABEL = "example.labs.repository"
NAME = "labs.example/kind-node"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STATIC = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")
ON_NODE = ("kubelet", "kubeadm", "kubectl")
RUNTIME = ("containerd", "containerd-shim-runc-v2", "ctr")
PROGRAMS = (*STATIC, "coredns", "kube-proxy", *ON_NODE, *RUNTIME)
# A Pod's first process: waits, and collects what others of the Pod leave when they share its process ids.
PAUSE = "trap 'exit 0' TERM INT; while :; do sleep 2147483647 & wait $!; done"


@dataclass(frozen=True)
class NodeImage:
    """A node image as an archive: its name, and the digest of all that went into it (16 hexadecimal digits)."""

    archive: Path
    reference: str
    key: str


def ensure(cache_dir: Path) -> NodeImage:
    """The node image, made if it is not in the cache. Safe to interrupt. LabsError where a part cannot be had."""
    from labsupport.cluster import binaries, courseroot
    from labsupport.cluster.embedded import idmap

    programs = binaries.ensure(PROGRAMS, cache_dir=cache_dir)
    root = courseroot.ensure(cache_dir, owner_base=idmap.for_this_user().owner_base)
    description = courseroot.load(DEFINITION, name="node-root")
    key = key_of(description, programs)
    directory = cache_dir / "kind" / f"node-{key}"
    parent = private_directory(cache_dir / "kind")
    with locked(parent / "node.lock"):
        if not (directory / "manifest.json").exists():
            for leftover in parent.glob(".node-*"):
                remove_tree(leftover)
            if shutil.disk_usage(parent).free < SPACE:
                raise LabsError(
                    f"Making the node image needs {SPACE >> 30} GB free under {parent}.",
                    fix="free some space (labs cache --prune), or set XDG_CACHE_HOME to a place that has it",
                    anchor="disk-full",
                )
            with explained_if_full(cache_dir):
                _make_in_one_step(directory, cache_dir, description, root, programs, key)
    return NodeImage(directory / "image.tar", reference(key), key)


def is_there(cache_dir: Path) -> bool:
    """Whether one was made here or came with a bundle; which programs it is of is not asked, as that may build them."""
    return any((cache_dir / "kind").glob("node-*/manifest.json"))


def reference(key: str) -> str:
    """The image's name; the tag begins with the version of Kubernetes, as kind's images do."""
    return f"{NAME}:v{versions.load().versions['kubernetes']}-{key}"


def key_of(description: Description, programs: Mapping[str, Binary]) -> str:
    """A digest of everything that the image is made from."""
    from labsupport.cluster import courseroot

    known = versions.load().versions
    parts = {
        "steps": STEPS,
        "root": courseroot.digest(courseroot.load(), None),
        "node": [description.source, sorted((n, p.version, p.sha256) for n, p in description.pins.items())],
        "release": [description.release, description.architecture],
        "programs": {name: program.digest for name, program in sorted(programs.items())},
        "kind": known["kind"],
        "files": {
            str(path.relative_to(DEFINITION)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((DEFINITION / "node").rglob("*"))
            if path.is_file()
        },
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _make_in_one_step(
    directory: Path,
    cache_dir: Path,
    description: Description,
    root: CourseRoot,
    programs: Mapping[str, Binary],
    key: str,
) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=".node-", dir=directory.parent))
    try:
        _make(temporary, cache_dir, description, root, programs, key)
        if directory.exists():
            remove_tree(directory)
        temporary.rename(directory)
    except BaseException:
        if temporary.exists():
            remove_tree(temporary)
        raise


def _make(
    place: Path,
    cache_dir: Path,
    description: Description,
    root: CourseRoot,
    programs: Mapping[str, Binary],
    key: str,
) -> None:
    files = {name: program.path for name, program in programs.items()}
    with phase("node image: Debian packages and kind's files") as progress:
        tree, packages = node_root.make(place / "root", cache_dir, description, files, progress)
    with phase("node image: images of the components") as progress:
        archives = _component_archive(place, root.path, files, progress)
        progress.update("storing them in the node")
        preload.preload(archives, tree / "var/lib/containerd", files, place / "containerd")
        archives.unlink()
    with phase("node image: writing it"):
        layer = archive.layer_of(place / "node.layer", trees={"": tree}, keep=images.belongs)
        image = archive.Image(
            names=(reference(key),),
            layers=(layer,),
            entrypoint=["/usr/local/bin/entrypoint", "/sbin/init"],
            env={"PATH": PATH, "container": "docker"},
            stop_signal="SIGRTMIN+3",
            labels={REPOSITORY_LABEL: REPOSITORY},
        )
        archive.write(place / "image.tar", [image])
    for name in ("root", "containerd"):
        if (place / name).exists():
            remove_tree(place / name)
    for left in place.glob("*.layer"):
        left.unlink()
    content = {
        "reference": reference(key),
        "repository": REPOSITORY,
        "unofficial": True,
        "programs": {name: [program.version, program.digest] for name, program in programs.items()},
        "packages": packages,
        "course_root": root.digest,
    }
    (place / "manifest.json").write_text(json.dumps(content, indent=1) + "\n")


def component_names(kubeadm: Path) -> dict[str, str]:
    """The images that this kubeadm will ask for: component to name, for instance etcd to REPOSITORY/etcd:3.7.0-0."""
    from labsupport.cluster import process

    version = f"v{versions.load().versions['kubernetes']}"
    command: list[str | Path] = [kubeadm, "config", "images", "list", "--kubernetes-version", version]
    result = process.run([*command, "--image-repository", REPOSITORY], timeout=60)
    names = {line.rpartition("/")[2].partition(":")[0]: line for line in result.stdout.split()}
    if not result.ok or "pause" not in names:
        raise LabsError(f"kubeadm does not say which images it needs: {result.reason()}")
    return names


def _component_archive(place: Path, root: Path, files: Mapping[str, Path], progress: Phase) -> Path:
    """One archive with the images of the control plane, kube-proxy, CoreDNS, pause, and the node's own tools."""
    names = component_names(files["kubeadm"])
    busybox = root / "usr/bin/busybox"
    base = images.root_layer(place / "base.layer", root)

    def layer(name: str, where: str, source: Path) -> archive.Layer:
        progress.update(name)
        file = place / f"{name}.layer"
        return archive.layer_of(file, files={where: source}, directories={"tmp": 0o1777, "run": 0o755})

    made = []
    for name in (*STATIC, "coredns"):
        where = "coredns" if name == "coredns" else f"usr/local/bin/{name}"
        made.append(
            archive.Image(
                (names[name],),
                (layer(name, where, files[name]),),
                entrypoint=[f"/{where}"],
                env={"PATH": PATH},
            )
        )
    pause = ["/bin/busybox", "sh", "-c", PAUSE]
    made.append(
        archive.Image(
            (names["pause"],),
            (layer("pause", "bin/busybox", busybox),),
            entrypoint=pause,
            env={"PATH": "/bin"},
        )
    )
    proxy = layer("kube-proxy", "usr/local/bin/kube-proxy", files["kube-proxy"])
    made.append(
        archive.Image(
            (names["kube-proxy"],),
            (base, proxy),
            entrypoint=["/usr/local/bin/kube-proxy"],
            env={"PATH": PATH},
        )
    )
    made.append(archive.Image((f"{REPOSITORY}/node-tools:1",), (base,), command=["sh"], env={"PATH": PATH}))
    target = place / "components.tar"
    archive.write(target, made)
    for image in made:
        for each in image.layers:
            each.file.unlink(missing_ok=True)
    return target
