"""One connection to one API server, and one way to send it a request."""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from labsupport.errors import LabsError
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

# Seconds; a healthy API answers in milliseconds, so more only hides that it is gone.
REQUEST_TIMEOUT = patient(15.0)
# A server that is not ready for a request (429 with Retry-After: it did nothing yet) is asked again. It says when, in
# whole seconds; the usual reason here, a kind that is new, is over sooner.
AGAIN = 0.1  # seconds
AGAIN_LIMIT = patient(8.0)  # seconds
MERGE_PATCH = "application/merge-patch+json"  # RFC 7386
APPLY = "application/apply-patch+yaml"  # JSON is YAML, and JSON is what we send


class Refused(LabsError):
    """The API server answered, and the answer was no.

    `status` is the HTTP status, `reason` the machine-readable reason of the Status object (meta/v1),
    `details` its details.
    """

    def __init__(
        self, status: int, reason: str, message: str, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.details = dict(details or {})


class Unreachable(LabsError):
    """No answer from the API server at all."""


@dataclass(frozen=True)
class Answer:
    """An answer of whatever status: `headers` as sent (look them up in any case), `body` decoded where it is JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any


def connect(kubeconfig: Path) -> ApiClient:
    """A client for the current context of `kubeconfig`, and of no other file: KUBECONFIG is not looked at.

    Errors: LabsError if the file is missing or is no kubeconfig. Nothing is sent yet.
    """
    from kubernetes import client, config

    if not kubeconfig.is_file():
        raise LabsError(f"There is no kubeconfig at {kubeconfig}.", fix="labs up")
    configuration = client.Configuration()
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=str(kubeconfig), client_configuration=configuration, persist_config=False
        )
    except (config.ConfigException, OSError, ValueError) as error:
        raise LabsError(f"{kubeconfig} is no usable kubeconfig: {error}", fix="labs up") from error
    if _is_loopback(configuration.host):
        configuration.proxy = None  # HTTPS_PROXY of the environment cannot lead to this machine's own port
    configuration.retries = False  # our waits retry, with a reason; three silent retries would only hide it
    return client.ApiClient(configuration)


def connect_in_pod() -> ApiClient:
    """A client with the rights of the Pod that this runs in: its ServiceAccount's token, renewed as the kubelet does.

    Errors: LabsError outside of a Pod, or in one without a token.
    """
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException as error:
        raise LabsError(f"This is no Pod with a ServiceAccount's token: {error}") from error
    configuration.retries = False
    return client.ApiClient(configuration)


def without_credentials(api: ApiClient) -> ApiClient:
    """A client for the same API server that presents no certificate and no token of its own."""
    from kubernetes import client

    configuration = client.Configuration(host=api.configuration.host)
    configuration.ssl_ca_cert = api.configuration.ssl_ca_cert
    configuration.verify_ssl = api.configuration.verify_ssl
    configuration.proxy = api.configuration.proxy
    configuration.retries = False
    return client.ApiClient(configuration)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def request(
    api: ApiClient,
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: Any = None,
    content_type: str = "application/json",
    accept: str = "application/json",
    timeout: float = REQUEST_TIMEOUT,
) -> Any:
    """Send one request and return the decoded JSON answer (text if it is none). `timeout` is in seconds.

    Errors: Refused on an HTTP status of 400 or more, Unreachable when no answer came.
    """
    sent = _send(api, method, path, query, body, content_type, timeout, {"Accept": accept})
    response, content = _read(api, sent)
    if response.status >= 400:
        raise _refused(response.status, content)
    return _decoded(response, content)


def patch(api: ApiClient, path: str, change: Any) -> Any:
    """Send a JSON merge patch (RFC 7386) and return the object as it is then. Errors: as for `request`."""
    return request(api, "PATCH", path, body=change, content_type=MERGE_PATCH)


def exchange(
    api: ApiClient,
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: Any = None,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
    timeout: float = REQUEST_TIMEOUT,
) -> Answer:
    """Send one request and return the answer, also where it is a refusal; for those who look at headers.

    `headers` go on top of the usual ones: Accept, Impersonate-User, Authorization. A `body` of bytes is sent as it is.
    Errors: Unreachable when no answer came.
    """
    sent = _send(api, method, path, query, body, content_type, timeout, headers)
    response, content = _read(api, sent)
    return Answer(response.status, response.headers, _decoded(response, content))


def _read(api: ApiClient, response: Any) -> tuple[Any, bytes]:
    try:
        return response, response.data
    except _transport_errors() as error:
        raise _unreachable(api, error) from error
    finally:
        response.release_conn()


def _decoded(response: Any, content: bytes) -> Any:
    if "json" in response.headers.get("Content-Type", ""):
        return json.loads(content)
    return content.decode(errors="replace")


def stream(
    api: ApiClient,
    path: str,
    *,
    query: Mapping[str, str],
    timeout: float,
    headers: Mapping[str, str] | None = None,
    opened: Callable[[], None] = lambda: None,
) -> Iterator[dict[str, Any]]:
    """The JSON lines of a long answer (a watch) as they come; ends when the server ends it or the
    connection breaks.

    `timeout` (seconds) bounds the silence between two lines. `headers` go on top of the usual ones. `opened` is called
    when the server has begun to answer.
    Errors as for `request`, before the first line only.
    """
    response = _send(api, "GET", path, query, None, "application/json", timeout, headers)
    try:
        if response.status >= 400:
            raise _refused(response.status, response.data)
        opened()
        rest = b""
        # read1 hands over what has come; a sized read would wait for the buffer to fill while an event sits
        # in it.
        while chunk := response.read1(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line:
                    yield json.loads(line)
    except _transport_errors():
        return  # a watch may break at any time; the caller goes on from the last resourceVersion
    finally:
        response.close()


def _send(
    api: ApiClient,
    method: str,
    path: str,
    query: Mapping[str, str] | None,
    body: Any,
    content_type: str,
    timeout: float,
    extra: Mapping[str, str] | None = None,
) -> Any:
    method, url, headers, _, _ = api.param_serialize(
        method, path, query_params=list((query or {}).items()), auth_settings=["BearerToken"]
    )
    headers["Accept"] = "application/json"
    payload = None
    if body is not None:
        headers["Content-Type"] = content_type
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers |= extra or {}
    until = time.monotonic() + min(timeout, AGAIN_LIMIT)
    while True:
        try:
            response = api.rest_client.pool_manager.request(
                method,
                url,
                body=payload,
                headers=headers,
                timeout=timeout,
                preload_content=False,
                redirect=False,
            )
        except _transport_errors() as error:
            raise _unreachable(api, error) from error
        asked_again = response.status == 429 and "Retry-After" in response.headers
        if not asked_again or time.monotonic() > until:
            return response
        response.drain_conn()
        response.release_conn()
        time.sleep(AGAIN)


def _transport_errors() -> tuple[type[BaseException], ...]:
    from urllib3.exceptions import HTTPError

    return (HTTPError, OSError)


def _unreachable(api: ApiClient, error: BaseException) -> Unreachable:
    return Unreachable(
        f"The API server at {api.configuration.host} does not answer: {error}", fix="labs status"
    )


def _refused(status: int, content: bytes) -> Refused:
    try:
        answer = json.loads(content)
        if answer.get("kind") == "Status":
            return Refused(
                status, answer.get("reason", ""), answer.get("message", ""), answer.get("details") or {}
            )
    except (ValueError, AttributeError):
        pass
    return Refused(status, "", content.decode(errors="replace")[:500].strip() or f"HTTP status {status}")
