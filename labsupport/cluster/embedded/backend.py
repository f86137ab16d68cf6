"""The embedded back end: a real Kubernetes in one user namespace, on the machine of an ordinary user."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from labsupport import kube, paths
from labsupport.cluster.directory import ClusterDirectory
from labsupport.cluster.embedded import conditions, holder, idmap, nodes, prepare, readiness, removal, subids
from labsupport.cluster.embedded.addresses import FIRST
from labsupport.cluster.interface import ClusterStatus, NodeStatus, UpReport
from labsupport.console import note, phase
from labsupport.errors import LabsError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

MANIFESTS = (paths.CLUSTERS / "manifests/embedded", paths.CLUSTERS / "manifests/base")
WITHOUT_LIMITS = paths.CLUSTERS / "manifests/embedded-without-limits"


class EmbeddedCluster:
    """One embedded cluster; see `interface.Cluster` for what its methods promise."""

    backend = "embedded"

    def __init__(self, name: str, nodes: int | None = None) -> None:
        """`nodes`: how many `up` is to bring up; None: those that the cluster has, else one."""
        self.name = name
        self._nodes = nodes
        self._directory = ClusterDirectory(name)
        self._phases: list[tuple[str, float]] = []

    @property
    def directory(self) -> Path:
        """Where its state is kept on the host."""
        return self._directory.root

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self._directory.kubeconfig

    def exists(self) -> bool:
        """Whether there is any state of it."""
        return self._directory.root.is_dir()

    def up(self, *, rebuild: bool = False) -> UpReport:
        """Make it, restart it or find it running, and return when it is ready.

        Raises LabsError for everything a person can mend: no programs to be had, namespaces forbidden, a damaged store.
        """
        started = time.monotonic()
        self._phases = []
        with self._directory.locked("up"), self._full_disk_explained():
            # The client takes half a second to import: long before it is needed, beside what takes longer. Nobody
            # waits for this thread: after a Ctrl-C in an import of ours it may hang on that module's lock for ever.
            threading.Thread(target=_import_client, daemon=True).start()
            known = self._directory.read_record()
            cut_short = bool(known.get("removing"))  # a `labs down` was: what it has left is no cluster
            recorded = known.get("nodes", 1) if known and not cut_short else None
            count = nodes.wanted_count(recorded, self._nodes, self.name)
            if rebuild or cut_short:
                holder.end(self._directory)
                removal.remove(self._directory)
                known = {}
            held = holder.find(self._directory)
            if held and (due := prepare.certificates_due(self._directory, recorded or 1)):
                note(f"  certificates to renew: {', '.join(due)}; restarting the cluster")
                holder.end(self._directory)
                held = None
            action = "found" if held else "restarted" if known.get("ready_once") else "created"
            if held is None:
                self._start(known, count)
            try:
                self._wait_for_api()
            except readiness.StoreDamaged:
                if known.get("ready_once"):
                    raise
                # A first start that was cut short: there is nothing in this store that anybody could miss.
                note("  what an interrupted first start left cannot be used: making the cluster anew")
                holder.end(self._directory)
                removal.remove(self._directory)
                self._start({}, count)
                self._wait_for_api()
            self._directory.update_record(nodes=count)
            self._settle(count)
        return UpReport(action, time.monotonic() - started, tuple(self._phases))

    def down(self, *, keep: bool = False) -> None:
        """End it; nothing of it stays unless `keep`."""
        if not self.exists():
            return
        with self._directory.locked("down"):
            with phase("Stopping the cluster"):
                holder.end(self._directory)
            for name in ("launcher.json", "control.sock"):
                (self._directory.root / name).unlink(missing_ok=True)
            if not keep:
                with phase("Removing its data"):
                    removal.remove(self._directory)

    def status(self) -> ClusterStatus:
        """Look at the processes, the node and cluster DNS; changes nothing."""
        from labsupport.cluster.embedded.inspect import status_of

        return status_of(self._directory)

    def kubectl(self) -> Path:
        """The kubectl of the cluster's own version."""
        from labsupport.cluster import binaries

        return binaries.ensure(["kubectl"], cache_dir=paths.cache())["kubectl"].path

    def url(self, service: str, namespace: str, port: int | None = None) -> str:
        """An http URL on loopback that leads to a Service through kube-proxy's rules."""
        from labsupport.cluster.services import service_target

        if holder.find(self._directory) is None:
            raise LabsError(f"Cluster {self.name!r} is not running.", fix="labs up")
        target = service_target(self.kubeconfig, service, namespace, port)
        return f"http://127.0.0.1:{holder.forward(self._directory, target)}"

    def nodes(self) -> tuple[NodeStatus, ...]:
        """Every node: its state, and what the API server says of it."""
        from labsupport.cluster.embedded.inspect import list_nodes

        return list_nodes(self._directory)

    def command_node(self, what: str, node: str) -> None:
        """Start, stop, partition or heal a node; nothing happens where it is as wanted.

        Started or healed, it is waited for until it is Ready. Raises LabsError: see nodes.command.
        """
        with phase(f"{node}: {what}") as progress:
            nodes.command(self._directory, what, node, progress.update)

    def processes(self) -> tuple[int, ...]:
        """The launcher: everything of the cluster descends from it."""
        held = holder.find(self._directory)
        return () if held is None else (held.launcher,)

    def _start(self, known: dict[str, object], count: int) -> None:
        from labsupport.cluster import binaries, courseroot, gatewayapi
        from labsupport.cluster.images import compiled_catalogue

        id_map = self._choose_map()
        cache = paths.cache()
        with self._phase("Programs"):
            programs = binaries.ensure([*prepare.PROGRAMS, "kubectl"], cache_dir=cache)
            gatewayapi.prepare(cache)
        with self._phase("Course root"):
            root = courseroot.ensure(cache, owner_base=id_map.owner_base)
        with self._phase("Node files"):
            self._directory.make()
            self._directory.update_record(backend=self.backend, idmap=id_map.kind, nodes=count)
            renewed = prepare.write_node(self._directory, root.path, id_map, compiled_catalogue())
            if renewed and known.get("ready_once"):
                note(f"  certificates renewed: {', '.join(renewed)}")
            port = int(str(known.get("port", 0)))
            inside = {name: programs[name].path for name in prepare.PROGRAMS}
            prepare.write_launch(self._directory, root.path, inside, id_map, port)
        with self._phase("Node started"):
            held = holder.start(self._directory)
            if port and held.port != port:
                note(f"  port {port} is taken by another program: the API server is now on {held.port}")
            prepare.write_kubeconfig(self._directory, held.port)
            self._directory.update_record(
                port=held.port,
                unofficial_build=any(program.unofficial for program in programs.values()),
            )

    def _choose_map(self) -> idmap.IdMap:
        """The map of ids to start with. One of subordinate ids is tried, since only that tells whether they can be had.

        Raises LabsError where the map that the cluster was made with cannot be had.
        """
        recorded = removal.recorded_map(self._directory)
        best = idmap.for_this_user()
        chosen = idmap.to_start_with(best, recorded)
        if chosen is None:
            raise LabsError(
                f"Cluster {self.name!r} was made by another user ({recorded.kind if recorded else 'no'} map of ids, "
                f"now {best.kind}).",
                fix=f"use it as that user, or make another one with --name, or `labs down --name {self.name}`",
            )
        if chosen.kind != "subordinate":
            return chosen
        try:
            removal.run_mapped(chosen)
        except OSError as error:
            if recorded is None:
                note(f"  subordinate ids cannot be used, so every user in a container is you: {error}")
                return idmap.single()
            raise LabsError(
                f"Cluster {self.name!r} was made with your subordinate ids from {chosen.sub_uid} on, and now you may "
                f"not use them: {error}",
                fix=subids.of_this_user().fix or "`labs doctor` says what can be done",
                anchor="ids",
            ) from error
        return chosen

    def _wait_for_api(self) -> None:
        with self._phase("API server"), phase("Waiting for the API server") as progress:
            readiness.wait_for_api(self._directory, progress.update)

    def _settle(self, count: int) -> None:
        """Apply the base manifests if they changed, and wait until the nodes and cluster DNS are ready."""
        # Also for a cluster that was found: an interrupted `up` may have left an old one or half of one.
        held = holder.find(self._directory)
        if held is None:
            raise LabsError("The node ended while it started.", fix="labs up", anchor="node-ended")
        prepare.write_kubeconfig(self._directory, held.port)
        if count > 1:
            with self._phase("Further nodes started"):
                nodes.start_missing(self._directory, count)
        api = kube.connect(self.kubeconfig)
        with self._phase("Base manifests"):
            self._apply_manifests(api)
        with self._phase("Node ready"), phase("Waiting for the node") as progress:
            readiness.wait_for_node(api, self._directory, progress.update)
            conditions.tell(api, self._directory, FIRST)
        with self._phase("Cluster DNS"), phase("Waiting for cluster DNS") as progress:
            readiness.wait_for_dns(self._directory, progress.update)
        if count > 1:
            with self._phase("Further nodes ready"), phase("Waiting for the further nodes") as progress:
                nodes.wait_until_ready(api, self._directory, progress.update)
            for sentence in nodes.out_on_purpose(self._directory, count):
                note(f"  {sentence}")
        self._directory.update_record(ready_once=True)

    def _apply_manifests(self, api: ApiClient) -> None:
        """Apply the base manifests, unless they were already as they are now."""
        enforced = bool(readiness.read_status(self._directory).get("limits"))
        directories = MANIFESTS if enforced else (*MANIFESTS, WITHOUT_LIMITS)
        files = [path for directory in directories for path in sorted(directory.glob("*.yaml"))]
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
        if self._directory.read_record().get("manifests") != digest:
            kube.apply(api, [document for path in files for document in kube.load(path)])
            if enforced:
                refusals = [
                    document for path in WITHOUT_LIMITS.glob("*.yaml") for document in kube.load(path)
                ]
                kube.delete(api, refusals)
            self._directory.update_record(manifests=digest)

    @contextmanager
    def _full_disk_explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # shutil.copytree collects its errors in one that has their texts only.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) and os.strerror(errno.ENOSPC) not in str(
                error
            ):
                raise
            raise readiness.store_error(self._directory, "no space left on device") from error

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self._phases.append((name, round(time.monotonic() - started, 2)))


def _import_client() -> None:
    with suppress(ImportError):
        import dns.query  # noqa: F401
        import kubernetes.client
        import kubernetes.config  # noqa: F401
