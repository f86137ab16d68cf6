"""The node's root directory: unpacked Debian packages, kind's files, ours, and the programs.

What maintainer scripts, systemctl and kind's Dockerfiles would do is done by hand; the comments say where a step is
from. Sources: images/base/Dockerfile of kind, systemctl(1) on enable and mask.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from labsupport import paths
from labsupport.cluster import process, versions
from labsupport.cluster.cachedir import locked, remove_tree
from labsupport.cluster.courseroot import Description, finish
from labsupport.cluster.courseroot import make as courseroot_make
from labsupport.console import Phase
from labsupport.errors import LabsError

OURS = paths.CLUSTERS / "kind" / "node"
EXECUTABLE = ("usr/local/bin/", "kind/bin/")
ENABLED = ("kubelet", "containerd", "undo-mount-hacks", "labs-network")
CNI_PLUGINS = ("host-local", "loopback", "portmap", "ptp")
# Units that a container must not start; kind's Dockerfile removes the same.
UNWANTED = (
    "usr/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service",
    "usr/lib/systemd/system/multi-user.target.wants/*",
    "etc/systemd/system/*.wants/*",
    "usr/lib/systemd/system/local-fs.target.wants/*",
    "usr/lib/systemd/system/sockets.target.wants/*udev*",
    "usr/lib/systemd/system/sockets.target.wants/*initctl*",
    "usr/lib/systemd/system/basic.target.wants/*",
)


def make(
    root: Path, cache_dir: Path, description: Description, programs: Mapping[str, Path], progress: Phase
) -> tuple[Path, dict[str, str]]:
    """Make the tree at `root`; returns it and the versions of its Debian packages. LabsError: a part is missing."""
    progress.update("kind's files")
    kind = kind_files(cache_dir)
    packages, _ = courseroot_make.collect(description, cache_dir, cache_dir / "downloads" / "debs", progress)
    courseroot_make.unpack(packages, root, description.drop, progress, keep_owners=False)
    root.chmod(0o755)
    finish.configure(root, description)
    for name in ("opt/labs", "home"):  # mount points of a course root, which this is not
        remove_tree(root / name)
    _alternatives(root)
    finish.link_libraries(root)
    copy_files(kind, root)
    copy_files(OURS, root)
    _units(root)
    _programs(root, programs)
    _containerd(root, programs["ctr"])
    (root / "etc/kubernetes/manifests").mkdir(parents=True)
    (root / "etc/cni/net.d").mkdir(parents=True, exist_ok=True)
    (root / "kind/version").write_text(f"v{versions.load().versions['kubernetes']}")
    (root / "etc/machine-id").write_text("")
    return root, {package.name: package.version for package in packages}


def kind_files(cache_dir: Path) -> Path:
    """kind's own files for a node, from the Go module that the pinned kind is built from."""
    from labsupport.cluster.binaries import build, toolchain
    from labsupport.paths import private_directory

    module = versions.program("kind").module
    kept = cache_dir / "build" / "gomod" / "sigs.k8s.io" / f"kind@v{versions.load().versions['kind']}"
    if not kept.is_dir():
        with locked(private_directory(cache_dir / "bin") / "lock"):
            go = toolchain.find(versions.load().go, cache_dir, os.environ)
            environment = build.go_environment(private_directory(cache_dir / "build"), os.environ)
            result = process.run(
                [go.path, "mod", "download", "sigs.k8s.io/kind"], cwd=module, env=environment
            )
        if not result.ok:
            raise LabsError(
                f"The Go module of kind cannot be had: {result.reason()}",
                fix="check the network and GOPROXY, then try again",
                anchor="programs",
            )
    return kept / "images" / "base" / "files"


def copy_files(source: Path, root: Path) -> None:
    """Copy a tree of files; modes as kind's Dockerfile gives them: 0755 for programs, 0644 for the rest."""
    for path in sorted(source.rglob("*")):
        if path.is_file():
            name = str(path.relative_to(source))
            target = root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            target.chmod(0o755 if name.startswith(EXECUTABLE) else 0o644)


def _alternatives(root: Path) -> None:
    """kind's entrypoint chooses between the two iptables by update-alternatives, which must know both."""
    (root / "var/lib/dpkg/alternatives").mkdir(parents=True, exist_ok=True)
    (root / "etc/alternatives").mkdir(exist_ok=True)
    for name in ("iptables", "ip6tables"):
        for kind, priority in (("legacy", 10), ("nft", 20)):
            command: list[str | Path] = ["update-alternatives", "--root", root, "--quiet", "--install"]
            command += [f"/usr/sbin/{name}", name, f"/usr/sbin/{name}-{kind}", str(priority)]
            for part in ("restore", "save"):
                command += ["--slave", f"/usr/sbin/{name}-{part}", f"{name}-{part}"]
                command += [f"/usr/sbin/{name}-{kind}-{part}"]
            result = process.run(command, env=os.environ | {"LC_ALL": "C.UTF-8"})
            if not result.ok:
                raise LabsError(f"update-alternatives on the node's tree failed: {result.reason()}")


def _units(root: Path) -> None:
    """Which units systemd starts."""
    for pattern in UNWANTED:
        for path in root.glob(pattern):
            path.unlink()
    system = root / "etc/systemd/system"
    wanted = system / "multi-user.target.wants"
    wanted.mkdir(exist_ok=True)
    for name in ENABLED:
        (wanted / f"{name}.service").symlink_to(f"/etc/systemd/system/{name}.service")
    # It registers handlers for the whole machine's kernel, not for the node.
    (system / "systemd-binfmt.service").symlink_to("/dev/null")
    with (root / "etc/systemd/journald.conf").open("a") as file:
        file.write("ReadKMsg=no\n")  # the machine's messages are not the node's


def _programs(root: Path, programs: Mapping[str, Path]) -> None:
    places = dict.fromkeys(("kubelet", "kubeadm", "kubectl"), "usr/bin")
    places |= dict.fromkeys(("containerd", "containerd-shim-runc-v2", "ctr"), "usr/local/bin")
    for name, place in places.items():
        target = root / place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(programs[name], target)
        target.chmod(0o755)
    plugins = root / "opt/cni/bin"
    plugins.mkdir(parents=True)
    for name in CNI_PLUGINS:
        (root / "usr/lib/cni" / name).rename(plugins / name)
    remove_tree(root / "usr/lib/cni")


def _containerd(root: Path, ctr: Path) -> None:
    """containerd's configuration: kind's, with our sandbox image, and nothing pulled."""
    from labsupport.cluster.kind.node_image import component_names

    file = root / "etc/containerd/config.toml"
    pause = component_names(root / "usr/bin/kubeadm")["pause"]
    lines = []
    for line in file.read_text().splitlines():
        key = line.strip().partition(" = ")[0]
        indent = line[: len(line) - len(line.lstrip())]
        if key == "sandbox_image":
            line = f'{indent}sandbox_image = "{pause}"'
        elif key == "restrict_oom_score_adj":
            # Without the right to lower the score (as in many containers) every sandbox would fail; with it, it is the
            # same but for scores below that of containerd itself.
            line = f"{indent}restrict_oom_score_adj = true"
        lines.append(line)
    lines += ['[plugins."io.containerd.grpc.v1.cri".registry]', '  config_path = "/etc/containerd/certs.d"']
    text = "\n".join(lines) + "\n"
    if pause not in text or "restrict_oom_score_adj = true" not in text:
        raise LabsError(
            "kind's containerd configuration is not in the expected form",
            fix="clusters/versions.toml names another kind than this was written for",
        )
    file.write_text(text)
    result = process.run([ctr, "oci", "spec"], timeout=30)
    if not result.ok:
        raise LabsError(f"ctr oci spec failed: {result.reason()}")
    spec = json.loads(result.stdout)
    spec.setdefault("hooks", {}).setdefault("createContainer", []).append(
        {"path": "/kind/bin/mount-product-files.sh"}
    )
    spec["process"].pop("rlimits", None)
    (root / "etc/containerd/cri-base.json").write_text(json.dumps(spec))
