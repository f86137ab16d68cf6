"""`kinds.Api` on a real API server. Every write first asks whether this replica still leads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.kube.client import APPLY
from labsupport.operators.quorum_operator.kinds import Conflict, Kind, Object
from labsupport.operators.quorum_operator.names import OPERATOR

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

NOT_FOUND, CONFLICT = 404, 409


class NotLeading(Exception):
    """This replica leads no more, so it writes nothing."""


class KubeApi:
    """Requests one at a time; several threads may use it. `leads` says whether writing is allowed."""

    def __init__(
        self,
        api: ApiClient,
        leads: Callable[[], bool] = lambda: True,
        written: Callable[[str], None] = lambda what: None,
    ) -> None:
        """`written` hears of each write that was done, but for Events."""
        self._api, self._leads, self._written = api, leads, written

    def _write(self, method: str, path: str, **more: Any) -> None:
        if not self._leads():
            raise NotLeading(f"{method} {path} is left to the replica that leads now.")
        try:
            kube.request(self._api, method, path, **more)
        except kube.Refused as error:
            if error.status == CONFLICT:
                raise Conflict(error.what) from error
            raise
        if not path.endswith("/events"):
            self._written(f"{method} {path}")

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """See `kinds.Api`. Errors: kube.Refused, kube.Unreachable; so for all of these."""
        try:
            found: Object = kube.request(self._api, "GET", kind.path(namespace, name))
        except kube.Refused as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return found

    def list(self, kind: Kind, namespace: str, labels: str = "") -> list[Object]:
        """See `kinds.Api`."""
        query = {"labelSelector": labels} if labels else {}
        answer = kube.request(self._api, "GET", kind.path(namespace), query=query)
        return [{"apiVersion": kind.api_version, "kind": kind.kind, **each} for each in answer["items"]]

    def create(self, kind: Kind, namespace: str, content: Mapping[str, Any]) -> bool:
        """See `kinds.Api`."""
        try:
            self._write("POST", kind.path(namespace), body=content)
        except Conflict:
            return False
        return True

    def apply(self, kind: Kind, namespace: str, content: Mapping[str, Any]) -> None:
        """See `kinds.Api`."""
        path = kind.path(namespace, content["metadata"]["name"])
        query = {"fieldManager": OPERATOR, "force": "true"}
        self._write("PATCH", path, query=query, body=content, content_type=APPLY)

    def patch(self, kind: Kind, namespace: str, name: str, change: Mapping[str, Any], sub: str = "") -> None:
        """See `kinds.Api`."""
        path = kind.path(namespace, name, sub)
        self._write("PATCH", path, body=change, content_type=kube.MERGE_PATCH)

    def replace(self, kind: Kind, name: str, content: Mapping[str, Any], sub: str) -> None:
        """See `kinds.Api`."""
        self._write("PUT", kind.path("", name, sub), body=content)

    def delete(self, kind: Kind, namespace: str, name: str, uid: str = "") -> None:
        """See `kinds.Api`."""
        body: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            self._write("DELETE", kind.path(namespace, name), body=body)
        except kube.Refused as error:
            if error.status != NOT_FOUND:
                raise
