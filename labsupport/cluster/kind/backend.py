"""The kind back end: the cluster in containers of Docker or Podman, made by kind."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from labsupport import kube, paths
from labsupport.cluster import process
from labsupport.cluster.directory import ClusterDirectory
from labsupport.cluster.interface import ClusterStatus, NodeStatus, UpReport
from labsupport.cluster.kind import confine, dns, docker, forwards, image_choice, nodes, volumes
from labsupport.console import note, phase
from labsupport.errors import LabsError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

MANIFESTS = paths.CLUSTERS / "manifests/base"
CONFIGURATION = paths.CLUSTERS / "kind/cluster.yaml"
# Where a file of the cluster's directory is mounted in each node, so that the containers themselves say whose they are.
MARK = "/kind/labs-owner"
NETWORK = "kind"
CREATE_SECONDS = 600.0
READY_SECONDS = 120.0


def kind_name(name: str) -> str:
    """The name that kind knows the cluster by."""
    return name if name == "labs" else f"labs-{name}"


class KindCluster:
    """One cluster made by kind; see `interface.Cluster` for what its methods promise.

    `image`: the node image to make it from; None: the one assembled here, or the one that it was made from.
    `count`: how many nodes `up` is to make; None: those that it has, else one.
    """

    backend = "kind"

    def __init__(self, name: str, image: str | None = None, count: int | None = None) -> None:
        self.name = name
        self._image = image
        self._count = count
        self._directory = ClusterDirectory(name)
        self._kind = kind_name(name)
        self._phases: list[tuple[str, float]] = []

    @property
    def directory(self) -> Path:
        """Where its state is kept on the host."""
        return self._directory.root

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, ours; kind is told of no other file."""
        return self._directory.kubeconfig

    def exists(self) -> bool:
        """Whether there is any state of it."""
        return self._directory.root.is_dir()

    def up(self, *, rebuild: bool = False) -> UpReport:
        """Make it, start it or find it running, and return when it is ready.

        Raises LabsError for everything a person can mend: no Docker, a name that another's cluster has, no image,
        another number of nodes than it has.
        """
        started = time.monotonic()
        self._phases = []
        with self._directory.locked("up"):
            engine = docker.find()
            mine = self._nodes(engine)
            known = self._directory.read_record()
            if mine and (rebuild or not known.get("ready_once")):
                if not rebuild:
                    note("  what an interrupted first start left cannot be used: making the cluster anew")
                self._remove(engine, mine, known)
                mine = ()
            recorded = known.get("nodes", 1) if known else None
            if not mine:
                self._create(engine, self._count or recorded or 1)
                action = "created"
            else:
                nodes.wanted_count(recorded, self._count, self.name)
                stopped = nodes.stopped_on_purpose(self._directory)
                missing = [node for node in mine if not node.running and node.name not in stopped]
                action = "restarted" if missing else "found"
                if missing:
                    with self._phase("Nodes started"), phase("Starting the nodes"):
                        # One after the other, the control plane first: each gets the address that it had.
                        engine.must("start", *(node.id for node in missing), timeout=60)
            self._settle(engine)
        return UpReport(action, time.monotonic() - started, tuple(self._phases))

    def down(self, *, keep: bool = False) -> None:
        """End it; nothing of it stays unless `keep`. What carries another's mark or none is not touched."""
        if not self.exists():
            return
        with self._directory.locked("down"):
            forwards.end_all(self.directory)
            known = self._directory.read_record()
            if known.get("kind") is None:  # nothing was made yet
                self._directory.remove()
                return
            engine = docker.find()
            mine = tuple(node for node in self._all(engine) if self._is_mine(node))
            if keep:
                with phase("Stopping the nodes"):
                    running = [node.id for node in mine if node.running]
                    if running:
                        engine.must("stop", *running, timeout=120)
                self._directory.update_record(stopped=[])  # the next `up` brings all of it
                return
            with phase("Removing the nodes"):
                self._remove(engine, mine, known)

    def status(self) -> ClusterStatus:
        """Look at the containers, the node and cluster DNS; changes nothing."""
        from labsupport.cluster.kind.inspect import status_of

        return status_of(self._directory, self._kind, self._is_mine)

    def kubectl(self) -> Path:
        """The kubectl of the cluster's own version."""
        from labsupport.cluster import binaries

        return binaries.ensure(["kubectl"], cache_dir=paths.cache())["kubectl"].path

    def url(self, service: str, namespace: str, port: int | None = None) -> str:
        """An http URL on loopback that leads to a Service by way of a node, hence through kube-proxy's rules."""
        from labsupport.cluster.services import service_target

        engine = docker.find()
        running = [node for node in self._all(engine) if self._is_mine(node) and node.running]
        if not running:
            raise LabsError(f"Cluster {self.name!r} is not running.", fix="labs up")
        target = service_target(self.kubeconfig, service, namespace, port)
        return f"http://127.0.0.1:{forwards.forward(self.directory, engine, running[0].name, target)}"

    def nodes(self) -> tuple[NodeStatus, ...]:
        """Every node: its state, and what the API server says of it."""
        engine = docker.find()
        return nodes.listed(engine, self._nodes(engine), self._directory, kube.connect(self.kubeconfig))

    def command_node(self, what: str, node: str) -> None:
        """Start, stop, partition or heal a node; nothing happens where it is as wanted.

        Started or healed, it is waited for until it is Ready. Raises LabsError: no such node, the control plane's, a
        cluster that does not run.
        """
        engine = docker.find()
        mine = self._nodes(engine)
        chosen = nodes.chosen(mine, node, what, self.name)
        if not any(each.running for each in mine if each.role == "control-plane"):
            raise LabsError(
                f"Cluster {self.name!r} is not running.", fix="`labs up` starts it with all its nodes"
            )
        with self._directory.locked(f"node {what}"), phase(f"{node}: {what}") as progress:
            if nodes.command(engine, self._directory, what, chosen):
                now = [each for each in self._nodes(engine) if each.name == node]
                confine.keep_services_inside(engine, now, self._networking["serviceSubnet"])
                api = kube.connect(self.kubeconfig)
                nodes.wait_until_ready(api, engine, now, READY_SECONDS, progress.update)

    def processes(self) -> tuple[int, ...]:
        """The first process of each node; Docker's own are not among them, and on another machine there are none."""
        nodes = [node for node in self._all(docker.find()) if self._is_mine(node)]
        return tuple(node.pid for node in nodes if node.pid)

    @property
    def _mark(self) -> Path:
        return self._directory.root / "owner"

    def _is_mine(self, node: docker.Node) -> bool:
        return node.mark == str(self._mark.absolute())

    def _all(self, engine: docker.Engine) -> tuple[docker.Node, ...]:
        return docker.nodes(engine, self._kind, MARK)

    def _nodes(self, engine: docker.Engine) -> tuple[docker.Node, ...]:
        """The cluster's containers. LabsError where another's have its name."""
        found = self._all(engine)
        if foreign := self.foreign(engine):
            raise LabsError(
                f"There is a kind cluster {self._kind!r} already that this course did not make "
                f"({', '.join(foreign)}). It is left alone.",
                fix="choose another --name; or, if nobody needs that cluster: "
                f"kind delete cluster --name {self._kind}",
                anchor="name-taken",
            )
        return found

    def foreign(self, engine: docker.Engine) -> tuple[str, ...]:
        """Names of containers that have this cluster's name and not its mark."""
        return tuple(node.name for node in self._all(engine) if not self._is_mine(node))

    def _create(self, engine: docker.Engine, count: int) -> None:
        from labsupport.cluster import binaries, gatewayapi

        with self._phase("Programs"):
            programs = binaries.ensure(["kind", "kubectl"], cache_dir=paths.cache())
            gatewayapi.prepare(paths.cache())
        with self._phase("Node image"):
            image = image_choice.provide(engine, self._image)
        nodes.wanted_count(None, count, self.name)
        self._directory.make()
        volumes.make(self._directory)
        paths.write_private(self._mark, f"cluster {self.name} of {self.directory}\n")
        repository = docker.image_label(engine, image, "example.labs.repository")
        configuration = self._directory.root / "kind.yaml"
        paths.write_private(configuration, self.configuration(image, repository, count))
        self._directory.update_record(
            backend=self.backend,
            kind=self._kind,
            engine=engine.name,
            image=image,
            nodes=count,
            stopped=[],
            network_made=not docker.has_network(engine, NETWORK),
            unofficial_build=bool(docker.image_label(engine, image, "example.labs.unofficial")),
            ready_once=False,
            manifests="",
            course_images="",
        )
        making = f"Making {count} nodes" if count > 1 else "Making the node"
        with self._phase("Nodes"), phase(making) as progress:
            command: list[str | Path] = [programs["kind"].path, "create", "cluster", "--retain"]
            command += ["--name", self._kind, "--config", configuration, "--kubeconfig", self.kubeconfig]
            try:
                result = process.run(
                    command,
                    env=self._environment(engine),
                    timeout=CREATE_SECONDS,
                    on_line=lambda line: progress.update(words(line)) if words(line) else None,
                )
            except process.TimedOut as error:
                raise LabsError(
                    f"kind did not finish: {error}", fix="labs up --rebuild", anchor="kind-create"
                ) from None
            if not result.ok:
                raise self._create_failed(engine, result)
            self.kubeconfig.chmod(0o600)

    def _create_failed(self, engine: docker.Engine, result: process.Finished) -> LabsError:
        """Why the node did not come up: kind's words and the end of the kubelet's log; what is left of it goes."""
        log = self._directory.root / "kind.log"
        text = result.stdout + "\n" + result.stderr
        mine = [node for node in self._all(engine) if self._is_mine(node)]
        for node in mine:
            journal = engine.run("exec", node.name, "journalctl", "--no-pager", "-n", "200", timeout=30)
            text += f"\n== {node.name}: journal\n{journal.stdout}\n== {node.name}: output\n"
            text += engine.run("logs", "--tail", "100", node.name).stdout
        paths.write_private(log, text)
        docker.remove(engine, mine)
        errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        why = "; ".join(errors) or result.reason()
        return LabsError(
            f"kind could not make the node: {why}\nThe node's log is kept in {log}",
            fix=f"labs doctor --backend kind --name {self.name}",
            anchor="kind-create",
        )

    def configuration(self, image: str, repository: str, count: int = 1) -> str:
        """The configuration for kind, as YAML; `repository`: of the components' images, "" for kubeadm's default."""
        content: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text())
        content["nodes"] = nodes.described(content, count)
        shared = volumes.on_the_host(self._directory)
        for node in content["nodes"]:
            node["image"] = image
            node["extraMounts"] = [
                {"hostPath": str(self._mark.absolute()), "containerPath": MARK, "readOnly": True},
                {"hostPath": str(shared.absolute()), "containerPath": volumes.PLACE},
            ]
        if repository:
            patch = {"kind": "ClusterConfiguration", "imageRepository": repository}
            content["kubeadmConfigPatches"].append(yaml.safe_dump(patch))
        return yaml.safe_dump(content, sort_keys=False)

    def _environment(self, engine: docker.Engine) -> dict[str, str]:
        # KUBECONFIG: the learner's own file is none of kind's business here.
        return {k: v for k, v in os.environ.items() if k != "KUBECONFIG"} | {docker.PROVIDER: engine.name}

    def _settle(self, engine: docker.Engine) -> None:
        """Wait for the node, apply what changed of the manifests, load the images that are not there, wait for DNS."""
        api = kube.connect(self.kubeconfig)
        running = [node for node in self._nodes(engine) if node.running]
        confine.keep_services_inside(engine, running, self._networking["serviceSubnet"])
        with self._phase("Node ready"), phase("Waiting for the node") as progress:
            wait_for_api(api, progress.update)
            nodes.wait_until_ready(api, engine, running, READY_SECONDS, progress.update)
        self._load_images(engine, running)
        files = sorted(MANIFESTS.glob("*.yaml"))
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
        with self._phase("Base manifests"):
            if self._directory.read_record().get("manifests") != digest:
                documents = [document for path in files for document in kube.load(path)]
                make_way(api, documents)
                kube.apply(api, documents)
                self._directory.update_record(manifests=digest)
        with self._phase("Cluster DNS"), phase("Waiting for cluster DNS") as progress:
            dns.wait(engine, running[0].name, api, READY_SECONDS, progress.update)
            account = kube.Target("v1", "ServiceAccount", "default", namespace="default")
            kube.until(api, account, kube.ready, timeout=READY_SECONDS)
        self._directory.update_record(ready_once=True)

    @property
    def _networking(self) -> dict[str, Any]:
        return dict(yaml.safe_load(CONFIGURATION.read_text())["networking"])

    def _load_images(self, engine: docker.Engine, running: Sequence[docker.Node]) -> None:
        from labsupport.cluster import binaries
        from labsupport.cluster.kind import images

        with self._phase("Course images"):
            made = images.ensure(paths.cache())
            if self._directory.read_record().get("course_images") == made.key:
                return
            kind = binaries.ensure(["kind"], cache_dir=paths.cache())["kind"].path
            names = ",".join(node.name for node in running)
            with phase("Loading the course's images"):
                result = process.run(
                    [kind, "load", "image-archive", made.archive, "--name", self._kind, "--nodes", names],
                    env=self._environment(engine),
                    timeout=CREATE_SECONDS,
                )
            if not result.ok:
                raise LabsError(
                    f"The course's images cannot be loaded: {result.reason()}", fix="labs up", anchor="docker"
                )
            if len(running) == len(self._nodes(engine)):
                self._directory.update_record(course_images=made.key)

    def _remove(self, engine: docker.Engine, mine: Sequence[docker.Node], known: dict[str, Any]) -> None:
        forwards.end_all(self.directory)
        docker.remove(engine, mine)
        volumes.remove(engine, self._directory, str(known.get("image", "")))
        if known.get("network_made") and docker.has_network(engine, NETWORK):
            # Refused by the engine while another cluster uses it, and then it is right to stay.
            engine.run("network", "rm", NETWORK)
        self._directory.remove()

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self._phases.append((name, round(time.monotonic() - started, 2)))


def words(line: str) -> str:
    """kind's progress without its bullets and pictures."""
    return re.sub(r"[^\x20-\x7e]+", "", line).strip(" .")


def make_way(api: ApiClient, documents: Sequence[dict[str, Any]]) -> None:
    """Delete a StorageClass that kind's image brought under the name of ours with another provisioner.

    A class's provisioner cannot be changed (storage.k8s.io/v1), and the course's is the same on every back end.
    """
    for wanted in documents:
        if wanted["kind"] == "StorageClass":
            there = kube.get(api, wanted["apiVersion"], "StorageClass", wanted["metadata"]["name"])
            if there and there.get("provisioner") != wanted["provisioner"]:
                kube.delete(api, [wanted])


def wait_for_api(api: ApiClient, update: Any) -> None:
    """Wait until the API server says that it is ready; before, it answers some requests and refuses others.

    LabsError with what it said last.
    """
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            kube.request(api, "GET", "/readyz", timeout=5)
            return
        except LabsError as error:
            if time.monotonic() > deadline:
                raise LabsError(
                    f"The API server did not become ready within {READY_SECONDS:.0f} s: {error.what}",
                    fix="labs up --rebuild makes the cluster anew",
                    anchor="api-not-ready",
                ) from error
            update(error.what)
            time.sleep(0.1)  # a server that is not there has no event to wait for
