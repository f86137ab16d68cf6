"""CRI calls about Pod sandboxes: a network namespace with an address, host name, IPC and shared memory."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from labsupport.cluster.embedded.runtime import hostports, network, spec
from labsupport.cluster.embedded.runtime.containers import end, remove, status_of
from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri
from labsupport.cluster.embedded.runtime.faults import failed, not_found, refused
from labsupport.cluster.embedded.runtime.shim_client import ShimError
from labsupport.cluster.embedded.runtime.state import Runtime, new_id
from labsupport.cluster.embedded.runtime.store import Sandbox


def run(runtime: Runtime, request: cri.RunPodSandboxRequest) -> cri.RunPodSandboxResponse:
    """RunPodSandbox: make the namespaces and the network, or leave nothing behind."""
    if request.runtime_handler:
        raise refused(f'no runtime handler "{request.runtime_handler}": this node has only the default one')
    sandbox = Sandbox(new_id(), request.config, time.time_ns())
    refuse_impossible(sandbox)
    if not sandbox.host_network:
        try:
            sandbox.address = runtime.pool.take()
        except network.NoFreeAddress as error:
            raise failed(str(error)) from error
    try:
        runtime.shim.call("sandbox", spec=spec.to_json(specification(runtime, sandbox)))
        runtime.sandboxes.add(sandbox)
        write_files(runtime.sandboxes.folder(sandbox.id), sandbox)
        if sandbox.config.port_mappings:
            hostports.apply(runtime.sandboxes)
    except (ShimError, OSError) as error:
        release(runtime, sandbox)
        runtime.sandboxes.remove(sandbox.id)
        raise failed(f"cannot make the sandbox: {error}") from error
    return cri.RunPodSandboxResponse(pod_sandbox_id=sandbox.id)


def refuse_impossible(sandbox: Sandbox) -> None:
    """Say clearly what this runtime does not do, instead of ignoring it."""
    if sandbox.namespaces.HasField("userns_options") and sandbox.namespaces.userns_options.mode == cri.POD:
        raise refused("user namespaces for Pods (hostUsers: false) are not supported by this node")


def specification(runtime: Runtime, sandbox: Sandbox) -> spec.SandboxSpec:
    """What the shim is to make."""
    ids = "0 65535" if runtime.config.real_ids else "0 0"
    sysctls = dict(sandbox.config.linux.sysctls)
    if not sandbox.host_network:
        # As other runtimes do: an ordinary process of a Pod may ping and use ports below 1024.
        sysctls = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": ids, **sysctls}
    return spec.SandboxSpec(
        id=sandbox.id,
        directory=str(runtime.config.sandbox_run(sandbox.id)),
        hostname=hostname(sandbox),
        network_namespace=str(runtime.config.network_namespace(sandbox.id)),
        address=sandbox.address,
        gateway=runtime.pool.gateway,
        prefix_length=runtime.pool.prefix_length,
        link=network.link_name(sandbox.id),
        sysctls=sysctls,
        own_ipc=sandbox.namespaces.ipc != cri.NODE,
        shared_pid=sandbox.namespaces.pid == cri.POD,
        course_root=str(runtime.config.course_root),
        stage=str(runtime.config.run / "stage"),
    )


def hostname(sandbox: Sandbox) -> str:
    """The Pod's host name; a Pod in the node's network has the node's."""
    return sandbox.config.hostname or os.uname().nodename


def write_files(folder: Path, sandbox: Sandbox) -> None:
    """The files that every container of the Pod gets: resolv.conf and hostname."""
    dns = sandbox.config.dns_config
    lines = [f"nameserver {server}" for server in dns.servers]
    if dns.searches:
        lines.append("search " + " ".join(dns.searches))
    if dns.options:
        lines.append("options " + " ".join(dns.options))
    if not lines:
        try:
            lines = Path("/etc/resolv.conf").read_text().splitlines()
        except OSError:
            lines = []
    (folder / "resolv.conf").write_text("".join(line + "\n" for line in lines))
    (folder / "hostname").write_text(hostname(sandbox) + "\n")


def release(runtime: Runtime, sandbox: Sandbox) -> None:
    """Give back what a sandbox holds: PID namespace, network, pins, address. Safe to repeat."""
    take_down(runtime, sandbox.id)
    runtime.pool.give_back(sandbox.address)


def take_down(runtime: Runtime, sandbox_id: str) -> None:
    """Remove everything of a sandbox that exists outside its record."""
    runtime.shim.call("end_sandbox", id=sandbox_id)
    network.remove_link(sandbox_id)
    network.unpin(runtime.config.network_namespace(sandbox_id))
    directory = runtime.config.sandbox_run(sandbox_id)
    for name in ("pid", "ipc", "uts", "shm"):
        network.unpin(directory / name)
    network.unpin(directory)


def sweep(runtime: Runtime) -> None:
    """Take down what a server that ended between making a sandbox and recording it has left. Before serving only."""
    directory = runtime.config.run / "sandboxes"
    for path in directory.iterdir() if directory.is_dir() else ():
        if runtime.sandboxes.get(path.name) is None:
            print(f"taking down the unrecorded sandbox {path.name}", file=sys.stderr, flush=True)
            take_down(runtime, path.name)


def stop(runtime: Runtime, request: cri.StopPodSandboxRequest) -> cri.StopPodSandboxResponse:
    """StopPodSandbox: end its containers and give its resources back. Safe to repeat, unknown ids are fine."""
    if sandbox := runtime.sandboxes.get(request.pod_sandbox_id):
        stop_sandbox(runtime, sandbox)
    return cri.StopPodSandboxResponse()


def stop_sandbox(runtime: Runtime, sandbox: Sandbox) -> None:
    """End the containers at once: the kubelet has stopped them before if it wanted to be gentle."""
    for container in runtime.containers_of(sandbox.id):
        end(runtime, container, 0)
    if sandbox.ready or runtime.config.sandbox_run(sandbox.id).exists():
        try:
            release(runtime, sandbox)
        except (ShimError, OSError) as error:
            raise failed(f"cannot stop the sandbox: {error}") from error
        sandbox.ready = False
        runtime.sandboxes.save(sandbox)
        if sandbox.config.port_mappings:
            hostports.apply(runtime.sandboxes)


def remove_sandbox(runtime: Runtime, request: cri.RemovePodSandboxRequest) -> cri.RemovePodSandboxResponse:
    """RemovePodSandbox: also its containers and every file they wrote."""
    if sandbox := runtime.sandboxes.get(request.pod_sandbox_id):
        stop_sandbox(runtime, sandbox)
        for container in runtime.containers_of(sandbox.id):
            remove(runtime, container)
        runtime.sandboxes.remove(sandbox.id)
    return cri.RemovePodSandboxResponse()


def _state(sandbox: Sandbox) -> cri.PodSandboxState:
    return cri.SANDBOX_READY if sandbox.ready else cri.SANDBOX_NOTREADY


def status(runtime: Runtime, request: cri.PodSandboxStatusRequest) -> cri.PodSandboxStatusResponse:
    """PodSandboxStatus."""
    sandbox = runtime.sandboxes.get(request.pod_sandbox_id)
    if sandbox is None:
        raise not_found(f"sandbox {request.pod_sandbox_id}")
    # Without a timestamp: with one (and EventedPLEG on) the kubelet 1.37.2 takes the containers from this answer, but
    # does not count them as active, and begins init containers that have ended again and again.
    return cri.PodSandboxStatusResponse(
        status=sandbox_status(sandbox),
        info={"address": sandbox.address} if request.verbose else {},
        containers_statuses=[status_of(container) for container in runtime.containers_of(sandbox.id)],
    )


def sandbox_status(sandbox: Sandbox) -> cri.PodSandboxStatus:
    """A sandbox as PodSandboxStatus and events show it."""
    return cri.PodSandboxStatus(
        id=sandbox.id,
        metadata=sandbox.config.metadata,
        state=_state(sandbox),
        created_at=sandbox.created_at,
        network=cri.PodSandboxNetworkStatus(ip=sandbox.address),
        linux=cri.LinuxPodSandboxStatus(namespaces=cri.Namespace(options=sandbox.namespaces)),
        labels=sandbox.config.labels,
        annotations=sandbox.config.annotations,
        runtime_handler=sandbox.runtime_handler,
    )


def has_labels(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Whether every label of the selector is there."""
    return all(labels.get(key) == value for key, value in selector.items())


def matches(sandbox: Sandbox, wanted: cri.PodSandboxFilter) -> bool:
    """Whether a sandbox passes a filter: id (or its beginning), state, labels."""
    if not sandbox.id.startswith(wanted.id):
        return False
    if wanted.HasField("state") and wanted.state.state != _state(sandbox):
        return False
    return has_labels(sandbox.config.labels, wanted.label_selector)


def list_sandboxes(runtime: Runtime, request: cri.ListPodSandboxRequest) -> cri.ListPodSandboxResponse:
    """ListPodSandbox."""
    return cri.ListPodSandboxResponse(
        items=[
            cri.PodSandbox(
                id=sandbox.id,
                metadata=sandbox.config.metadata,
                state=_state(sandbox),
                created_at=sandbox.created_at,
                labels=sandbox.config.labels,
                annotations=sandbox.config.annotations,
                runtime_handler=sandbox.runtime_handler,
            )
            for sandbox in runtime.sandboxes
            if matches(sandbox, request.filter)
        ]
    )
