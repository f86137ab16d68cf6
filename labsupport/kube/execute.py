"""Run a command in a container, as `kubectl exec` does, and read what it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

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
        own.close()  # type: ignore[no-untyped-call]
    return said
