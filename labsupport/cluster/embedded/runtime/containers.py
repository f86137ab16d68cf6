"""CRI calls about containers: create, start, stop, remove, list, status."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import grpc

from labsupport.cluster.embedded.runtime import container_spec, events, limits, spec
from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri
from labsupport.cluster.embedded.runtime.faults import Fault, failed, not_found, refused
from labsupport.cluster.embedded.runtime.images import Image
from labsupport.cluster.embedded.runtime.shim_client import ShimError
from labsupport.cluster.embedded.runtime.state import Runtime, new_id
from labsupport.cluster.embedded.runtime.store import Container, Sandbox

_KILL_TIMEOUT = 10.0  # seconds that the kernel may take to end a killed container
START_ERROR = 128  # exit code of a container whose program could not be started


def create(runtime: Runtime, request: cri.CreateContainerRequest) -> cri.CreateContainerResponse:
    """CreateContainer: check everything that can be checked before a start, and keep it."""
    sandbox = runtime.sandboxes.get(request.pod_sandbox_id)
    if sandbox is None:
        raise not_found(f"sandbox {request.pod_sandbox_id}")
    if not sandbox.ready:
        raise failed(f"sandbox {sandbox.id} is not ready")
    config = request.config
    image = runtime.images.find_or_refuse(config.image.image)
    log_path = ""
    if config.log_path:
        log_path = os.path.join(sandbox.config.log_directory, config.log_path)  # noqa: PTH118
    container = Container(
        id=new_id(),
        sandbox_id=sandbox.id,
        config=config,
        image_id=image.digest,
        image_name=config.image.user_specified_image or image.name,
        created_at=time.time_ns(),
        log_path=log_path,
    )
    context = config.linux.security_context
    try:
        identity = container_spec.identity_of(
            context, image, runtime.accounts_of(image), real_ids=runtime.config.real_ids
        )
        container_spec.privileges(config, identity, real_ids=runtime.config.real_ids)
        container_spec.arguments(config, image)
    except (ValueError, LookupError) as error:
        raise refused(str(error)) from error
    container.uid, container.gid, container.groups = identity.uid, identity.gid, list(identity.groups)
    asked = container_spec.ids_asked(context, image)
    if asked and not runtime.config.real_ids and not config.metadata.attempt:
        metadata = sandbox.config.metadata
        events.tell(runtime.config.api, [events.one_id(metadata, config.metadata.name, asked)])
    runtime.containers.add(container)
    runtime.announce(container.id, cri.CONTAINER_CREATED_EVENT)
    return cri.CreateContainerResponse(container_id=container.id)


def start(runtime: Runtime, request: cri.StartContainerRequest) -> cri.StartContainerResponse:
    """StartContainer: returns when the program runs; its failure to run is kept as the container's end."""
    container = get(runtime, request.container_id)
    with container.starting:
        start_now(runtime, container)
    runtime.announce(container.id, cri.CONTAINER_STARTED_EVENT)
    return cri.StartContainerResponse()


def start_now(runtime: Runtime, container: Container) -> None:
    """Start a new container; the caller holds its `starting`."""
    sandbox = runtime.sandboxes.get(container.sandbox_id)
    if sandbox is None or not sandbox.ready:
        raise failed(f"sandbox {container.sandbox_id} is not ready")
    if container.state != cri.CONTAINER_CREATED:
        raise Fault(grpc.StatusCode.FAILED_PRECONDITION, "only a new container can be started")
    group = runtime.group_of(container)
    try:
        if limits.enforced():
            limits.make(group, container.config.linux.resources)
        wanted = specification(runtime, sandbox, container, str(group) if group.is_dir() else "")
        pid = runtime.shim.call("start", spec=spec.to_json(wanted))["pid"]
    except (ShimError, OSError, ValueError, LookupError, Fault) as error:
        limits.remove(group)
        container.message = f"failed to start container: {error}"
        runtime.mark_ended(container, START_ERROR, "StartError")
        raise failed(container.message) from error
    with runtime.lock:
        container.pid = pid
        if container.state == cri.CONTAINER_CREATED:  # else it has ended already
            container.state, container.started_at = cri.CONTAINER_RUNNING, time.time_ns()
        runtime.containers.save(container)


def specification(
    runtime: Runtime, sandbox: Sandbox, container: Container, group: str = ""
) -> spec.ContainerSpec:
    """What the shim is to run, in control group `group`. Raises ValueError or LookupError for what cannot be had."""
    config, real_ids = container.config, runtime.config.real_ids
    image: Image = runtime.images.find_or_refuse(config.image.image)
    context = config.linux.security_context
    identity = container_spec.identity_of(context, image, runtime.accounts_of(image), real_ids=real_ids)
    folder = runtime.containers.folder(container.id)
    volumes = container_spec.volume_mounts(
        config.mounts, lambda name: runtime.lower_of(runtime.images.find_or_refuse(name))
    )
    binds = tuple(spec.Mount(source, target, readonly=True) for source, target in image.binds)
    files = container_spec.file_mounts(str(runtime.sandboxes.folder(sandbox.id)), volumes)
    directory = str(runtime.config.sandbox_run(sandbox.id))
    own_ipc = sandbox.namespaces.ipc != cri.NODE
    running = {other.id: other.pid for other in runtime.containers if other.state == cri.CONTAINER_RUNNING}
    return spec.ContainerSpec(
        id=container.id,
        argv=container_spec.arguments(config, image),
        env=container_spec.environment(
            config,
            image,
            hostname=sandbox.config.hostname or os.uname().nodename,
            home=identity.home,
            real_ids=real_ids,
        ),
        cwd=config.working_dir or image.working_dir,
        root=spec.Root(
            lower=runtime.lower_of(image),
            layer=str(folder),
            shm=f"{directory}/shm" if own_ipc else "/dev/shm",  # noqa: S108 - the node's, as hostIPC asks
            mounts=binds + files + volumes,
            masked=() if context.privileged else tuple(context.masked_paths),
            readonly_paths=() if context.privileged else tuple(context.readonly_paths),
            readonly=context.readonly_rootfs,
            privileged=context.privileged,
        ),
        privileges=container_spec.privileges(config, identity, real_ids=real_ids),
        namespaces=container_spec.namespace_files(
            context.namespace_options,
            directory,
            str(runtime.config.network_namespace(sandbox.id)),
            running,
        ),
        host_pid=context.namespace_options.pid == cri.NODE,
        tty=config.tty,
        stdin=config.stdin,
        log_path=container.log_path,
        stage=str(runtime.config.run / "stage"),
        control_group=group,
    )


def get(runtime: Runtime, container_id: str) -> Container:
    """The container with this id; raises NOT_FOUND."""
    container = runtime.containers.get(container_id)
    if container is None:
        raise not_found(f"container {container_id}")
    return container


def get_running(runtime: Runtime, container_id: str) -> Container:
    """As `get`, and it must be running now."""
    container = get(runtime, container_id)
    if container.state != cri.CONTAINER_RUNNING:
        raise Fault(grpc.StatusCode.FAILED_PRECONDITION, f"container {container_id} is not running")
    return container


def end(runtime: Runtime, container: Container, timeout: float) -> None:
    """End a container: its stop signal, `timeout` seconds, then SIGKILL; timeout 0 kills at once."""
    with container.starting, runtime.lock:  # a start that is under way must be known before its end
        if container.state == cri.CONTAINER_CREATED:
            runtime.mark_ended(container, 0, "Completed")
    if container.ended.is_set():
        return
    try:
        if timeout > 0:
            number = container_spec.stop_signal(container.config.stop_signal)
            runtime.shim.call("kill", id=container.id, signal=number)
            if container.ended.wait(timeout):
                return
        runtime.shim.call("kill", id=container.id, signal=int(signal.SIGKILL))
    except ShimError as error:
        raise failed(str(error)) from error
    if not container.ended.wait(_KILL_TIMEOUT):
        raise failed(f"container {container.id} did not end within {_KILL_TIMEOUT:.0f} s of SIGKILL")


def stop(runtime: Runtime, request: cri.StopContainerRequest) -> cri.StopContainerResponse:
    """StopContainer; unknown ids are fine, as the CRI says."""
    if container := runtime.containers.get(request.container_id):
        end(runtime, container, request.timeout)
    return cri.StopContainerResponse()


def remove(runtime: Runtime, container: Container) -> None:
    """Remove a container, ending it if it must be, with all that it wrote."""
    end(runtime, container, 0)
    try:
        runtime.shim.call("forget", id=container.id)
    except ShimError as error:
        raise failed(str(error)) from error
    limits.remove(runtime.group_of(container))
    runtime.containers.remove(container.id)
    runtime.announce(container.id, cri.CONTAINER_DELETED_EVENT)


def remove_container(runtime: Runtime, request: cri.RemoveContainerRequest) -> cri.RemoveContainerResponse:
    """RemoveContainer; unknown ids are fine."""
    if container := runtime.containers.get(request.container_id):
        remove(runtime, container)
    return cri.RemoveContainerResponse()


def matches(container: Container, wanted: cri.ContainerFilter) -> bool:
    """Whether a container passes a filter: id (or its beginning), sandbox, state, labels."""
    if not container.id.startswith(wanted.id):
        return False
    if wanted.pod_sandbox_id and container.sandbox_id != wanted.pod_sandbox_id:
        return False
    if wanted.HasField("state") and wanted.state.state != container.state:
        return False
    labels = container.config.labels
    return all(labels.get(key) == value for key, value in wanted.label_selector.items())


def list_containers(runtime: Runtime, request: cri.ListContainersRequest) -> cri.ListContainersResponse:
    """ListContainers."""
    return cri.ListContainersResponse(
        containers=[
            cri.Container(
                id=container.id,
                pod_sandbox_id=container.sandbox_id,
                metadata=container.config.metadata,
                image=container.config.image,
                image_ref=container.image_id,
                image_id=container.image_id,
                state=container.state,
                created_at=container.created_at,
                labels=container.config.labels,
                annotations=container.config.annotations,
            )
            for container in runtime.containers
            if matches(container, request.filter)
        ]
    )


def status_of(container: Container) -> cri.ContainerStatus:
    """A container as ContainerStatus and events show it."""
    user = cri.LinuxContainerUser(uid=container.uid, gid=container.gid, supplemental_groups=container.groups)
    return cri.ContainerStatus(
        id=container.id,
        metadata=container.config.metadata,
        state=container.state,
        created_at=container.created_at,
        started_at=container.started_at,
        finished_at=container.finished_at,
        exit_code=container.exit_code,
        image=cri.ImageSpec(
            image=container.image_name, user_specified_image=container.config.image.user_specified_image
        ),
        image_ref=container.image_id,
        image_id=container.image_id,
        reason=container.reason,
        message=container.message,
        labels=container.config.labels,
        annotations=container.config.annotations,
        mounts=container.config.mounts,
        log_path=container.log_path,
        resources=cri.ContainerResources(linux=container.config.linux.resources),
        user=cri.ContainerUser(linux=user),
        stop_signal=container.config.stop_signal,
    )


def status(runtime: Runtime, request: cri.ContainerStatusRequest) -> cri.ContainerStatusResponse:
    """ContainerStatus."""
    container = get(runtime, request.container_id)
    info = {"pid": str(container.pid)} if request.verbose else {}
    return cri.ContainerStatusResponse(status=status_of(container), info=info)


def update_resources(
    runtime: Runtime, request: cri.UpdateContainerResourcesRequest
) -> cri.UpdateContainerResourcesResponse:
    """UpdateContainerResources: enforced where the node has control groups to do it with, kept and reported anyway."""
    container = get(runtime, request.container_id)
    with runtime.lock:
        resources = container_spec.resources_after(container.config.linux.resources, request.linux)
        try:
            limits.apply(runtime.group_of(container), resources)
        except OSError as error:
            raise failed(str(error)) from error
        container.config.linux.resources.CopyFrom(resources)
        runtime.containers.save(container)
    return cri.UpdateContainerResourcesResponse()


def reopen_log(runtime: Runtime, request: cri.ReopenContainerLogRequest) -> cri.ReopenContainerLogResponse:
    """ReopenContainerLog: the kubelet has moved the log away; go on in a new one."""
    container = get_running(runtime, request.container_id)
    try:
        runtime.shim.call("reopen_log", id=container.id)
    except ShimError as error:
        raise failed(str(error)) from error
    if not Path(container.log_path).exists():
        raise failed(f"the log {container.log_path} was not made")
    return cri.ReopenContainerLogResponse()
