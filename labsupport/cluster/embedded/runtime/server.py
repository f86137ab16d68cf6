"""The CRI server: gRPC on a unix socket, one function per call, every failure in the log.

The kubelet repeats some failing calls for ever without telling (its relist loop), so each error is printed here, the
same one at most every half minute.

    python3 -m labsupport.cluster.embedded.runtime.server
"""

from __future__ import annotations

import concurrent.futures
import operator
import queue
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.message import Message

from labsupport.cluster.embedded.runtime import config as configuration
from labsupport.cluster.embedded.runtime import containers, images, sandboxes, state, stats, streaming
from labsupport.cluster.embedded.runtime import exec as execution
from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri
from labsupport.cluster.embedded.runtime.faults import Fault
from labsupport.cluster.embedded.runtime.state import Runtime

VERSION = "1.0.0"
_THREADS = 512  # made as needed: StopContainer and ExecSync wait in theirs, and must not hold up the others
_MAX_MESSAGE = 16 << 20  # bytes, as the kubelet's own limit
_REPEAT = 30.0

_SERIALIZE = operator.methodcaller("SerializeToString")

Call = Callable[[Any], Message]


@dataclass
class ErrorLog:
    """Prints failures of calls, the same one only now and then."""

    last: dict[str, float] = field(default_factory=dict)

    def add(self, method: str, error: BaseException) -> None:
        """Print one failure; the unexpected ones with where they happened."""
        text = (
            f"{method}: {error}" if isinstance(error, Fault) else f"{method}: {type(error).__name__}: {error}"
        )
        now = time.monotonic()
        if now - self.last.get(text, -_REPEAT) < _REPEAT:
            return
        if len(self.last) > 1000:
            self.last.clear()
        self.last[text] = now
        print(text, file=sys.stderr, flush=True)
        if not isinstance(error, Fault):
            traceback.print_exception(error, file=sys.stderr)


def calls(runtime: Runtime, streams: streaming.Streaming) -> dict[str, Call]:
    """Every call this runtime answers; gRPC says UNIMPLEMENTED for the others."""
    return {
        "Version": lambda r: cri.VersionResponse(
            version="0.1.0", runtime_name="labs", runtime_version=VERSION, runtime_api_version="v1"
        ),
        "Status": lambda r: status(),
        "RuntimeConfig": lambda r: cri.RuntimeConfigResponse(
            linux=cri.LinuxRuntimeConfiguration(cgroup_driver=cri.CGROUPFS)
        ),
        "UpdateRuntimeConfig": lambda r: cri.UpdateRuntimeConfigResponse(),
        "RunPodSandbox": lambda r: sandboxes.run(runtime, r),
        "StopPodSandbox": lambda r: sandboxes.stop(runtime, r),
        "RemovePodSandbox": lambda r: sandboxes.remove_sandbox(runtime, r),
        "PodSandboxStatus": lambda r: sandboxes.status(runtime, r),
        "ListPodSandbox": lambda r: sandboxes.list_sandboxes(runtime, r),
        "UpdatePodSandboxResources": lambda r: cri.UpdatePodSandboxResourcesResponse(),
        "CreateContainer": lambda r: containers.create(runtime, r),
        "StartContainer": lambda r: containers.start(runtime, r),
        "StopContainer": lambda r: containers.stop(runtime, r),
        "RemoveContainer": lambda r: containers.remove_container(runtime, r),
        "ListContainers": lambda r: containers.list_containers(runtime, r),
        "ContainerStatus": lambda r: containers.status(runtime, r),
        "UpdateContainerResources": lambda r: containers.update_resources(runtime, r),
        "ReopenContainerLog": lambda r: containers.reopen_log(runtime, r),
        "ExecSync": lambda r: execution.sync(runtime, r),
        "Exec": streams.exec,
        "Attach": streams.attach,
        "PortForward": streams.port_forward,
        "ContainerStats": lambda r: stats.one(runtime, r),
        "ListContainerStats": lambda r: stats.many(runtime, r),
        "PodSandboxStats": lambda r: stats.one_sandbox(runtime, r),
        "ListPodSandboxStats": lambda r: stats.many_sandboxes(runtime, r),
        "ListImages": lambda r: list_images(runtime, r),
        "ImageStatus": lambda r: image_status(runtime, r),
        "PullImage": lambda r: cri.PullImageResponse(image_ref=runtime.images.pull(r.image.image).digest),
        "RemoveImage": lambda r: remove_image(runtime, r),
        "ImageFsInfo": lambda r: stats.image_file_system(runtime),
    }


def status() -> cri.StatusResponse:
    """Status: a runtime that answers is ready, and it makes its networks itself."""
    ready = [cri.RuntimeCondition(type=kind, status=True) for kind in ("RuntimeReady", "NetworkReady")]
    features = cri.RuntimeHandlerFeatures(recursive_read_only_mounts=True, user_namespaces=False)
    return cri.StatusResponse(
        status=cri.RuntimeStatus(conditions=ready),
        runtime_handlers=[cri.RuntimeHandler(name="", features=features)],
        features=cri.RuntimeFeatures(supplemental_groups_policy=True),
    )


def list_images(runtime: Runtime, request: cri.ListImagesRequest) -> cri.ListImagesResponse:
    """ListImages: what was pulled."""
    wanted = request.filter.image.image
    chosen = runtime.images.find(wanted) if wanted else None
    pulled = [image for image in runtime.images.pulled() if not wanted or image == chosen]
    return cri.ListImagesResponse(images=[images.to_cri(image) for image in pulled])


def image_status(runtime: Runtime, request: cri.ImageStatusRequest) -> cri.ImageStatusResponse:
    """ImageStatus: an empty answer means that the image is not on the node."""
    image = runtime.images.find(request.image.image)
    if image is None or not runtime.images.is_pulled(image):
        return cri.ImageStatusResponse()
    return cri.ImageStatusResponse(image=images.to_cri(image))


def remove_image(runtime: Runtime, request: cri.RemoveImageRequest) -> cri.RemoveImageResponse:
    """RemoveImage."""
    runtime.images.remove(request.image.image)
    return cri.RemoveImageResponse()


def events(runtime: Runtime, context: grpc.ServicerContext) -> Iterator[cri.ContainerEventResponse]:
    """GetContainerEvents: one message per change, until the kubelet goes away."""
    changes: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
    runtime.watchers.append(changes)
    try:
        while context.is_active():
            try:
                container_id, kind = changes.get(timeout=1)
            except queue.Empty:
                continue
            event = cri.ContainerEventResponse(
                container_id=container_id,
                container_event_type=cri.ContainerEventType.Name(kind),
                created_at=time.time_ns(),
            )
            container = runtime.containers.get(container_id)
            sandbox = runtime.sandboxes.get(container.sandbox_id) if container else None
            if sandbox:
                event.pod_sandbox_status.CopyFrom(sandboxes.sandbox_status(sandbox))
                event.containers_statuses.extend(
                    containers.status_of(other) for other in runtime.containers_of(sandbox.id)
                )
            yield event
    finally:
        runtime.watchers.remove(changes)


def handler(method: str, call: Call, log: ErrorLog) -> Callable[[Any, grpc.ServicerContext], Message]:
    """A call with its failures logged and turned into gRPC statuses."""

    def run(request: Any, context: grpc.ServicerContext) -> Message:
        try:
            return call(request)
        except Fault as fault:
            if fault.code != grpc.StatusCode.NOT_FOUND or method == "PullImage":  # the rest is daily business
                log.add(method, fault)
            context.abort(fault.code, str(fault))
        except Exception as error:
            log.add(method, error)
            context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
        raise AssertionError("abort returned")

    return run


def services(runtime: Runtime, table: dict[str, Call]) -> list[grpc.GenericRpcHandler[Any, Any]]:
    """The two CRI services, made from their description in api.proto."""
    log = ErrorLog()
    result = []
    for service in cri.DESCRIPTOR.services_by_name.values():
        methods = {}
        for method in service.methods:
            parse = message_factory.GetMessageClass(method.input_type).FromString
            if method.name == "GetContainerEvents":
                methods[method.name] = grpc.unary_stream_rpc_method_handler(
                    lambda _, context: events(runtime, context), parse, _SERIALIZE
                )
            elif method.name in table:
                methods[method.name] = grpc.unary_unary_rpc_method_handler(
                    handler(method.name, table[method.name], log), parse, _SERIALIZE
                )
        result.append(grpc.method_handlers_generic_handler(service.full_name, methods))
    return result


def serve(config: configuration.Config) -> grpc.Server:
    """Load the state, connect to the shim and start to answer."""
    runtime = state.load(config)
    sandboxes.sweep(runtime)
    table = calls(runtime, streaming.listen(runtime))
    sizes = [
        ("grpc.max_send_message_length", _MAX_MESSAGE),
        ("grpc.max_receive_message_length", _MAX_MESSAGE),
    ]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(_THREADS), options=sizes)
    server.add_generic_rpc_handlers(tuple(services(runtime, table)))
    config.cri_socket.unlink(missing_ok=True)
    server.add_insecure_port(f"unix://{config.cri_socket}")
    server.start()
    config.cri_socket.chmod(0o600)
    return server


def main() -> None:
    """Serve until killed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = serve(configuration.load())
    print("cri ready", file=sys.stderr, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
