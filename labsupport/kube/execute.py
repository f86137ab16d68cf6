"""Run a command in a container, as `kubectl exec` does, and read what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from labsupport.errors import LabsError
from labsupport.kube.client import REQUEST_TIMEOUT, Refused, Unreachable

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


def execute(
    api: ApiClient,
    namespace: str,
    pod: str,
    command: Sequence[str],
    *,
    container: str = "",
    timeout: float = REQUEST_TIMEOUT,
) -> str:
    """What `command` wrote to standard output in `container` (default: the first) of `pod`. `timeout` in seconds.

    Errors: LabsError if it ended with another status than 0 (with its standard error) or not in time; Refused if the
    cluster would not run it; Unreachable.
    """
    channel, own = _open(api, namespace, pod, command, container, timeout)
    try:
        channel.run_forever(timeout=timeout)
        said = str(channel.read_stdout(timeout=0)) if channel.peek_stdout(timeout=0) else ""
        complaint = str(channel.read_stderr(timeout=0)) if channel.peek_stderr(timeout=0) else ""
        if channel.is_open():
            raise LabsError(f"`{' '.join(command)}` in Pod {pod} did not end within {timeout:g} s.")
        if channel.returncode:
            raise LabsError(
                f"`{' '.join(command)}` in Pod {pod} ended with status {channel.returncode}: {complaint}"
            )
    finally:
        channel.close()
        own.close()
    return said


def follow(
    api: ApiClient,
    namespace: str,
    pod: str,
    command: Sequence[str],
    *,
    container: str = "",
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[str]:
    """The lines of `command`'s standard output as they come, until it ends, or `stopped` (asked twice a second).

    Errors: as for `execute`, without a time.
    """
    channel, own = _open(api, namespace, pod, command, container, REQUEST_TIMEOUT)
    rest = ""
    try:
        while not stopped():
            channel.update(timeout=0.5)
            if channel.peek_stdout(timeout=0):
                *lines, rest = (rest + str(channel.read_stdout(timeout=0))).split("\n")
                yield from lines
            elif not channel.is_open():
                break
        if not channel.is_open() and channel.returncode:
            complaint = str(channel.read_stderr(timeout=0)) if channel.peek_stderr(timeout=0) else ""
            raise LabsError(
                f"`{' '.join(command)}` in Pod {pod} ended with status {channel.returncode}: {complaint}"
            )
    finally:
        channel.close()
        own.close()


def _open(
    api: ApiClient, namespace: str, pod: str, command: Sequence[str], container: str, timeout: float
) -> tuple[Any, Any]:
    """A channel to a new process, and the client that it belongs to; the caller closes both."""
    from kubernetes import client
    from kubernetes.client.exceptions import ApiException
    from kubernetes.stream import stream

    # `stream` replaces a method of the ApiClient while it runs: a client of its own disturbs nobody else's requests.
    own = client.ApiClient(api.configuration)
    try:
        channel = stream(
            client.CoreV1Api(own).connect_get_namespaced_pod_exec,
            pod,
            namespace,
            command=list(command),
            **({"container": container} if container else {}),
            stdout=True,
            stderr=True,
            stdin=False,
            tty=False,
            _preload_content=False,
            _request_timeout=timeout,
        )
    except ApiException as error:
        if error.status and error.status >= 400:
            raise Refused(error.status, str(error.reason), f"exec in Pod {pod}: {error.reason}") from error
        raise Unreachable(f"exec in Pod {pod}: {error.reason}", fix="labs status") from error
    return channel, own
