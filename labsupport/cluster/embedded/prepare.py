"""Everything on disk that a node needs before it starts: its /etc, its certificates, the package's copy.

Written by the host into `<cluster>/node/`, for further nodes into `<cluster>/workers/<name>/`; each function may run
again over what an interrupted run left.
"""

from __future__ import annotations

import base64
import compileall
import hashlib
import json
import os
import shutil
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from labsupport import paths
from labsupport.cluster.directory import ClusterDirectory, remove_tree
from labsupport.cluster.embedded import addresses, pki
from labsupport.cluster.embedded.addresses import API_SERVICE_IP, FIRST, Addresses
from labsupport.cluster.embedded.idmap import IdMap
from labsupport.cluster.embedded.noderoot import VOLUMES
from labsupport.errors import LabsError

DEFINITIONS = paths.CLUSTERS / "embedded"
NODE_NAME = FIRST.name
CLIENTS = ("kubelet", "controller-manager", "scheduler", "kube-proxy")
WORKER_CLIENTS = ("kubelet", "kube-proxy")
PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
    "envoy",
)
PACKAGE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class NodeDirectory:
    """The host's directories that become the node's."""

    root: Path

    @property
    def etc(self) -> Path:
        """The node's /etc."""
        return self.root / "etc"

    @property
    def var(self) -> Path:
        """The node's /var: the store, the kubelet's and the runtime's state, logs."""
        return self.root / "var"

    @property
    def host(self) -> Path:
        """The node's /run/host: the socket and status.json."""
        return self.root / "host"

    @property
    def package(self) -> Path:
        """What PYTHONPATH names in the node: a directory that holds `labsupport`."""
        return self.root / "lib"

    @property
    def store(self) -> Path:
        """etcd's data."""
        return self.var / "lib/etcd"


def node_directory(directory: ClusterDirectory, node: Addresses = FIRST) -> NodeDirectory:
    """A node's part of a cluster's directory."""
    if node.is_first:
        return NodeDirectory(directory.root / "node")
    return NodeDirectory(workers_directory(directory) / node.name)


def workers_directory(directory: ClusterDirectory) -> Path:
    """Parent of the further nodes' directories."""
    return directory.root / "workers"


def write_node(
    directory: ClusterDirectory,
    course_root: Path,
    id_map: IdMap,
    catalogue: Mapping[str, Any],
) -> tuple[str, ...]:
    """Write or renew the first node's files; returns the names of the certificates that were made or renewed."""
    node = node_directory(directory)
    _begin(node, course_root)
    renewed = pki.ensure(_certificates(node), directory.root / "pki", _first_leaves())
    _write_etc(node, FIRST, id_map, catalogue, "https://127.0.0.1:6443")
    _copy_package(node.package)
    _hand_over(node, id_map)
    return renewed


def write_worker(
    directory: ClusterDirectory,
    worker: Addresses,
    course_root: Path,
    id_map: IdMap,
    catalogue: Mapping[str, Any],
) -> None:
    """Write or renew the files of a further node, which does not run; the first one's are there already."""
    node = node_directory(directory, worker)
    _begin(node, course_root)
    # What the first node's volumes are mounted on.
    (node.var / VOLUMES.relative_to("/var")).mkdir(parents=True, exist_ok=True)
    pki.ensure_worker(_certificates(node), _certificates(node_directory(directory)), _worker_leaves(worker))
    _write_etc(node, worker, id_map, catalogue, f"https://{FIRST.ip}:6443")
    _hand_over(node, id_map)


def _begin(node: NodeDirectory, course_root: Path) -> None:
    for path in (node.var, node.host):
        path.mkdir(parents=True, exist_ok=True)
    (node.host / "status.json").unlink(missing_ok=True)
    _copy_etc(course_root, node.etc)


def _write_etc(
    node: NodeDirectory, who: Addresses, id_map: IdMap, catalogue: Mapping[str, Any], server: str
) -> None:
    """What the programs of a node read; `server` is the API server's URL as the node sees it."""
    kubernetes = node.etc / "kubernetes"
    (kubernetes / "manifests").mkdir(exist_ok=True)
    for client in CLIENTS if who.is_first else WORKER_CLIENTS:
        content = kubeconfig(
            who.name,
            server,
            {"certificate-authority": "/etc/kubernetes/pki/ca.crt"},
            {
                "client-certificate": f"/etc/kubernetes/pki/{client}.crt",
                "client-key": f"/etc/kubernetes/pki/{client}.key",
            },
        )
        paths.write_private(kubernetes / f"{client}.conf", content)
    for name in ("kubelet.yaml", "kube-proxy.yaml"):
        shutil.copyfile(DEFINITIONS / name, kubernetes / name)
    labs = node.etc / "labs"
    labs.mkdir(exist_ok=True)
    configuration = {
        "name": who.name,
        "network": addresses.network_commands(who),
        "idmap": id_map.kind,
        "components": components_of(read_components(DEFINITIONS / "components.toml"), who),
    }
    runtime = {
        "pod_cidr": who.pod_cidr,
        "idmap": id_map.kind,
        "course_root": "/opt/course-root",
        "catalogue": "/etc/labs/catalogue.json",
        "state": "/var/lib/labs-runtime",
        "run": "/run/labs",
        "api": {
            "server": server,
            "authority": "/etc/kubernetes/pki/ca.crt",
            "certificate": "/etc/kubernetes/pki/kubelet.crt",
            "key": "/etc/kubernetes/pki/kubelet.key",
        },
    }
    for file, value in (
        ("node.json", configuration),
        ("runtime.json", runtime),
        ("catalogue.json", catalogue),
    ):
        paths.write_private(labs / file, json.dumps(value))
    (node.etc / "hosts").write_text(f"127.0.0.1 localhost\n{who.ip} {who.name}\n")
    (node.etc / "hostname").write_text(f"{who.name}\n")
    (node.etc / "resolv.conf").write_text("")


def _hand_over(node: NodeDirectory, id_map: IdMap) -> None:
    """Give the files to the node's root where that is not the caller."""
    if id_map.owner_base is None:
        return
    for path in (node.etc, node.host, node.package):
        if path.exists():
            give(path, id_map.owner_base)
    # Not what lies below /var: that is the node's own, with owners of its own.
    os.chown(node.var, id_map.owner_base, id_map.owner_base)
    volumes = node.var / VOLUMES.relative_to("/var")
    for path in (volumes.parent, volumes) if volumes.exists() else ():
        os.chown(path, id_map.owner_base, id_map.owner_base)


def _certificates(node: NodeDirectory) -> Path:
    return node.etc / "kubernetes/pki"


def _first_leaves() -> tuple[pki.Leaf, ...]:
    return pki.leaves(FIRST.name, FIRST.ip, API_SERVICE_IP)


def _worker_leaves(worker: Addresses) -> tuple[pki.Leaf, ...]:
    return pki.worker_leaves(worker.name, worker.ip)


def certificates_due(directory: ClusterDirectory, count: int) -> tuple[str, ...]:
    """Names of the certificates that are near their end, missing or damaged, on the `count` nodes of a cluster."""
    first = _certificates(node_directory(directory))
    names = [*pki.due(first, directory.root / "pki", _first_leaves())]
    for worker in addresses.workers(count):
        place = _certificates(node_directory(directory, worker))
        if place.is_dir():  # else it was never started
            names += [
                f"{worker.name}/{file}" for file in pki.due_worker(place, first, _worker_leaves(worker))
            ]
    return tuple(names)


def write_launch(
    directory: ClusterDirectory, course_root: Path, programs: Mapping[str, Path], id_map: IdMap, port: int
) -> None:
    """Write launch.json, what the launcher reads."""
    node = node_directory(directory)
    settings = {
        "name": directory.name,
        "course_root": str(course_root),
        "package": str(node.package),
        "etc": str(node.etc),
        "var": str(node.var),
        "host": str(node.host),
        "workers": str(workers_directory(directory)),
        "programs": {name: str(path) for name, path in programs.items()},
        "idmap": asdict(id_map),
        "port": port,
    }
    paths.write_private(directory.root / "launch.json", json.dumps(settings, indent=1))


def write_kubeconfig(directory: ClusterDirectory, port: int) -> None:
    """Write the administrator's kubeconfig, whole in one file so that it can be copied elsewhere."""
    administrator = directory.root / "pki" / pki.ADMINISTRATOR.file
    authority = node_directory(directory).etc / "kubernetes/pki/ca.crt"

    def inline(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    content = kubeconfig(
        context_name(directory.name),
        f"https://127.0.0.1:{port}",
        {"certificate-authority-data": inline(authority)},
        {
            "client-certificate-data": inline(administrator.with_suffix(".crt")),
            "client-key-data": inline(administrator.with_suffix(".key")),
        },
    )
    paths.write_private(directory.kubeconfig, content)


def context_name(name: str) -> str:
    """The kubeconfig context of a cluster of this course."""
    return name if name == "labs" else f"labs-{name}"


def kubeconfig(name: str, server: str, cluster: Mapping[str, str], user: Mapping[str, str]) -> str:
    """A kubeconfig (YAML) with one cluster, one user and one context, all called `name`."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, **cluster}}],
        "users": [{"name": name, "user": dict(user)}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return yaml.safe_dump(content, sort_keys=False)


def read_components(path: Path) -> dict[str, Any]:
    """Read and check components.toml. Raises LabsError that names the entry at fault."""
    try:
        definition = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise LabsError(f"{path} cannot be read: {error}", fix="`git checkout` the file") from error
    names = [entry.get("name", "") for entry in definition.get("component", [])]
    for number, entry in enumerate(definition.get("component", []), 1):
        if not entry.get("name") or not entry.get("argv"):
            raise LabsError(f"{path}: component {number} needs a name and an argv")
        for other in (entry.get("after"), entry.get("after_answering"), entry.get("after_elsewhere")):
            if other and other not in names:
                raise LabsError(f"{path}: {entry['name']} comes after {other!r}, which is no component")
    return definition


def components_of(definition: Mapping[str, Any], node: Addresses) -> dict[str, Any]:
    """The definition for one node: its programs, with its name and address in their arguments."""
    chosen = []
    for entry in definition["component"]:
        if not node.is_first and not entry.get("every_node"):
            continue
        argv = [word.replace("{node}", node.name).replace("{node_ip}", node.ip) for word in entry["argv"]]
        # What they wait for runs on the first node; a further one is started when the API server is there.
        waits = {} if node.is_first else {"after": entry.get("after_elsewhere", ""), "after_answering": ""}
        chosen.append({**entry, "argv": argv, **waits})
    return {**definition, "component": chosen}


def give(path: Path, owner: int) -> None:
    """Give a tree to host id `owner` (and the group of the same number), links themselves and not what they name."""
    os.chown(path, owner, owner, follow_symlinks=False)
    if path.is_dir() and not path.is_symlink():
        for parent, directories, files in os.walk(path):
            for name in (*directories, *files):
                os.chown(Path(parent) / name, owner, owner, follow_symlinks=False)


def _copy_etc(course_root: Path, etc: Path) -> None:
    """The node's /etc begins as the course root's, which has users, libraries' cache and certificates."""
    stamp = etc / "labs" / ".course-root"
    if stamp.exists() and stamp.read_text() == str(course_root):
        return
    # What an interrupted copy or an older course root left goes; what is the cluster's own stays.
    for entry in etc.iterdir() if etc.is_dir() else ():
        if entry.name in ("kubernetes", "labs"):
            continue
        if entry.is_dir() and not entry.is_symlink():
            remove_tree(entry)
        else:
            entry.unlink()
    shutil.copytree(course_root / "etc", etc, symlinks=True, dirs_exist_ok=True)
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(str(course_root))


def _copy_package(target: Path) -> None:
    """Copy this package for the node: the learner's clone itself must not be within a container's reach."""
    sources = sorted(
        path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    digest = hashlib.sha256()
    for path in sources:
        stat = path.stat()
        digest.update(f"{path.relative_to(PACKAGE)} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    digest.update(sys.version.encode())
    stamp = target / ".digest"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    remove_tree(target)
    target.mkdir(parents=True)
    for path in sources:
        copy = target / PACKAGE.name / path.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    # The copy is read-only in the node; without this each start of the runtime would compile it again (0.3 s). Where
    # this Python is another version than the course root's, the compiled files are not used.
    compileall.compile_dir(target / PACKAGE.name / "cluster/embedded", quiet=2, workers=1)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    stamp.write_text(digest.hexdigest())
