"""An API server in memory, behind the official Python client: for checks that run a learner's function on states
that the notebook does not show, without a cluster.

It keeps what controllers rely on: one counter of resourceVersions, optimistic concurrency (a write with an old
resourceVersion is refused with 409), 404, 409 AlreadyExists, uids that are never used again, label selectors, the four
kinds of patch, writes that change nothing and therefore give no new version. Everything else of a real API server is
left out: no validation beyond owner references, no watches, no admission. The tests on a cluster put the same requests
to both and compare the answers.
Source: Kubernetes API concepts, https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Object = dict[str, Any]
WRITES = ("POST", "PUT", "PATCH", "DELETE")
OWNER_FIELDS = ("apiVersion", "kind", "name", "uid")


class Killed(BaseException):
    """The process of the client ends here. No `except Exception` stops it, as nothing stops SIGKILL."""


@dataclass(frozen=True)
class Request:
    """One request as the server saw it, what it answered, and whether the store is another since."""

    method: str
    path: str
    status: int
    changed: bool

    @property
    def writes(self) -> bool:
        """Whether this is a request that asks for a change."""
        return self.method in WRITES

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.status}"


class _Answer(Exception):
    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


class MemoryApi:
    """The store and its HTTP face.

    `kinds` maps the plural of each served resource to its kind. `before` is called with method and path before each
    request is handled: it may change the store (another writer), raise Killed, or return an HTTP status to answer with.
    """

    def __init__(
        self,
        kinds: Mapping[str, str],
        before: Callable[[str, str], int | None] = lambda method, path: None,
    ) -> None:
        self.kinds = dict(kinds)
        self.before = before
        self.objects: dict[str, Object] = {}  # by path
        self.requests: list[Request] = []
        self.version = 100
        self._uids = 0
        self._applied: dict[tuple[str, str], Object] = {}  # what each field manager applied last, by path

    def client(self) -> ApiClient:
        """A client of the official package whose requests end here."""
        from kubernetes import client

        configuration = client.Configuration(host="http://memory.invalid")
        configuration.retries = False
        api = client.ApiClient(configuration)
        api.rest_client.pool_manager = _Pool(self)  # type: ignore[assignment]  # as much of one as the client uses
        return api

    def create(self, path: str, document: Mapping[str, Any]) -> Object:
        """Store an object below the collection `path`, as another client would; returns what is stored."""
        return self._create(path, copy.deepcopy(dict(document)))

    def change(self, path: str, change: Callable[[Object], None]) -> Object:
        """Let another client change the object at `path`: `change` gets it and alters it in place."""
        document = copy.deepcopy(self.objects[path])
        change(document)
        return self._store(path, document)

    def remove(self, path: str) -> None:
        """Let another client delete the object at `path`."""
        del self.objects[path]
        self.version += 1

    def items(self, collection: str) -> list[Object]:
        """The objects directly below the collection's path, by name."""
        found = [path for path in self.objects if path.rpartition("/")[0] == collection]
        return [self.objects[path] for path in sorted(found)]

    # --- requests

    def handle(self, method: str, url: str, body: bytes | str | None, headers: Mapping[str, str]) -> _Reply:
        """Answer one request."""
        parts = urlsplit(url)
        path, query = unquote(parts.path), dict(parse_qsl(parts.query))
        version = self.version
        try:
            if refused := self.before(method, path):
                raise _Answer(
                    refused, _REASONS.get(refused, "InternalError"), "the server says no, for this once"
                )
            version = self.version  # what another writer did meanwhile is not this request's doing
            document = json.loads(body) if body else None
            status, answer = self._dispatch(method, path, query, document, headers)
        except _Answer as error:
            status = error.status
            answer = {
                **{"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"},
                **{"message": error.message, "reason": error.reason, "code": error.status},
            }
        self.requests.append(Request(method, path, status, self.version != version))
        return _Reply(status, json.dumps(answer).encode())

    def _dispatch(
        self, method: str, path: str, query: Mapping[str, str], document: Any, headers: Mapping[str, str]
    ) -> tuple[int, Object]:
        collection, name = self._locate(path)
        if method == "GET":
            return 200, self._one(path) if name else self._list(collection, query)
        if method == "POST" and not name:
            return 201, self._create(collection, document)
        if method == "PUT" and name:
            self._one(path)
            return 200, self._store(path, document)
        if method == "PATCH" and name:
            kind = next((value for key, value in headers.items() if key.lower() == "content-type"), "")
            return self._patch(path, kind, document, query)
        if method == "DELETE":
            gone = [path] if name else [self._path(each) for each in self._list(collection, query)["items"]]
            for each in gone:
                stored = self._one(each)
                self._precondition(stored, (document or {}).get("preconditions") or {})
                self.remove(each)
            return 200, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        raise _Answer(405, "MethodNotAllowed", f"{method} is not possible on {path}")

    def _locate(self, path: str) -> tuple[str, str]:
        """The collection and the name (or "") that a path means. Subresources are taken for the object itself."""
        parts = path.strip("/").split("/")
        start = 2 if parts[0] == "api" else 3
        rest = parts[start:]
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            start += 2
            rest = rest[2:]
        if not rest or rest[0] not in self.kinds:
            raise _Answer(404, "NotFound", f"the server does not serve {path}")
        return "/" + "/".join(parts[: start + 1]), "/".join(rest[1:2])

    def _path(self, stored: Object) -> str:
        return next(path for path, each in self.objects.items() if each is stored)

    def _one(self, path: str) -> Object:
        if path not in self.objects:
            raise _Answer(404, "NotFound", f'{path.split("/")[-2]} "{path.split("/")[-1]}" not found')
        return self.objects[path]

    def _list(self, collection: str, query: Mapping[str, str]) -> Object:
        version, plural = collection.strip("/").split("/"), collection.split("/")[-1]
        group = version[1] if version[0] == "api" else "/".join(version[1:3])
        if "/namespaces/" in collection:
            items = self.items(collection)
        else:  # of all namespaces
            prefix = collection.rpartition("/")[0] + "/namespaces/"
            items = [
                each
                for path, each in self.objects.items()
                if path.startswith(prefix) and path.split("/")[-2] == plural
            ]
        items = [
            each
            for each in items
            if _selected(each["metadata"].get("labels") or {}, query.get("labelSelector", ""))
            and _selected(_fields(each), query.get("fieldSelector", ""))
        ]
        return {
            "apiVersion": group,
            "kind": f"{self.kinds[plural]}List",
            "metadata": {"resourceVersion": str(self.version)},
            "items": items,
        }

    def _create(self, collection: str, document: Object) -> Object:
        metadata = document.setdefault("metadata", {})
        if not metadata.get("name"):
            raise _Answer(422, "Invalid", "metadata.name: Required value: name is required")
        path = f"{collection}/{metadata['name']}"
        if path in self.objects:
            plural = collection.split("/")[-1]
            raise _Answer(409, "AlreadyExists", f'{plural} "{metadata["name"]}" already exists')
        if metadata.get("resourceVersion"):
            raise _Answer(500, "InternalError", "resourceVersion should not be set on objects to be created")
        parts = collection.strip("/").split("/")
        if "namespaces" in parts:
            namespace = parts[parts.index("namespaces") + 1]
            if metadata.setdefault("namespace", namespace) != namespace:
                raise _Answer(
                    400, "BadRequest", "the namespace of the object does not match that of the request"
                )
        self._uids += 1
        metadata["uid"] = f"00000000-0000-4000-8000-{self._uids:012d}"
        metadata["creationTimestamp"] = "2026-01-01T00:00:00Z"
        document.setdefault("kind", self.kinds[parts[-1]])
        document.setdefault("apiVersion", parts[1] if parts[0] == "api" else "/".join(parts[1:3]))
        if "spec" in document:
            metadata["generation"] = 1
        return self._keep(path, document)

    def _store(self, path: str, document: Object) -> Object:
        """Replace what is at `path`; a write that changes nothing is none."""
        stored, metadata = self.objects[path], document.setdefault("metadata", {})
        self._precondition(stored, metadata)
        for key in ("uid", "creationTimestamp", "namespace", "name", "generation"):
            if key in stored["metadata"]:
                metadata[key] = stored["metadata"][key]
        document = {"apiVersion": stored["apiVersion"], "kind": stored["kind"]} | document
        before, after = _settled(stored), _settled(document)
        if before == after:
            return stored
        if before.get("spec") != after.get("spec"):
            metadata["generation"] = stored["metadata"].get("generation", 1) + 1
        return self._keep(path, document)

    def _keep(self, path: str, document: Object) -> Object:
        for number, owner in enumerate(document["metadata"].get("ownerReferences") or []):
            for key in OWNER_FIELDS:
                if not owner.get(key):
                    field = f"metadata.ownerReferences[{number}].{key}"
                    raise _Answer(422, "Invalid", f"{field}: Invalid value: must not be empty")
        owners = document["metadata"].get("ownerReferences") or []
        if sum(bool(owner.get("controller")) for owner in owners) > 1:
            raise _Answer(
                422, "Invalid", "metadata.ownerReferences: Only one reference can have Controller set to true"
            )
        self.version += 1
        document["metadata"]["resourceVersion"] = str(self.version)
        # A copy through JSON: what a client keeps and alters later must not reach into the store.
        self.objects[path] = json.loads(json.dumps(_without_none(document)))
        return self.objects[path]

    def _precondition(self, stored: Object, wanted: Mapping[str, Any]) -> None:
        for key in ("resourceVersion", "uid"):
            if wanted.get(key) and wanted[key] != stored["metadata"][key]:
                raise _Answer(
                    409,
                    "Conflict",
                    f'Operation cannot be fulfilled on "{stored["metadata"]["name"]}": the object has been modified; '
                    "please apply your changes to the latest version and try again",
                )

    def _patch(self, path: str, kind: str, patch: Any, query: Mapping[str, str]) -> tuple[int, Object]:
        if "apply-patch" in kind:
            manager = query.get("fieldManager", "")
            if not manager:
                raise _Answer(400, "BadRequest", "fieldManager is required for apply patch")
            before = self._applied.get((path, manager), {})
            self._applied[path, manager] = copy.deepcopy(patch)
            if path not in self.objects:
                return 201, self._create(path.rpartition("/")[0], patch)
            # Fields that this manager applied earlier and leaves out now are its to remove (KEP-555).
            merged = _merged(_merged(self._one(path), _left_out(before, patch)), patch, lists_by_uid=True)
            return 200, self._store(path, merged)
        stored = copy.deepcopy(self._one(path))
        if "json-patch" in kind:
            return 200, self._store(path, _operated(stored, patch))
        return 200, self._store(path, _merged(stored, patch, lists_by_uid="strategic" in kind))


_REASONS = {
    403: "Forbidden",
    409: "Conflict",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}


def _selected(values: Mapping[str, str], selector: str) -> bool:
    """Whether equality-based `selector` is true of `values`."""
    for part in filter(None, selector.split(",")):
        if "!=" in part:
            key, _, value = part.partition("!=")
            if values.get(key.strip()) == value.strip():
                return False
        elif "=" in part:
            key, _, value = part.partition("=")
            if values.get(key.strip()) != value.lstrip("=").strip():
                return False
        elif part.startswith("!"):
            if part[1:].strip() in values:
                return False
        elif part.strip() not in values:
            return False
    return True


def _fields(each: Object) -> dict[str, str]:
    metadata = each["metadata"]
    return {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}


def _settled(document: Object) -> Object:
    """An object without what the server counts itself."""
    metadata = {
        key: value
        for key, value in document["metadata"].items()
        if key not in ("resourceVersion", "managedFields", "generation") and value not in (None, {}, [])
    }
    rest = {key: value for key, value in document.items() if value not in (None, {}, [])}
    return dict(_without_none(rest | {"metadata": metadata}))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    return value


def _merged(stored: Any, patch: Any, *, lists_by_uid: bool = False) -> Any:
    """JSON merge patch (RFC 7386); with `lists_by_uid`, owner references are merged by uid, as in a strategic one."""
    if not isinstance(patch, dict):
        return patch
    result = dict(stored) if isinstance(stored, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif key == "ownerReferences" and lists_by_uid:
            by_uid = {each.get("uid"): each for each in result.get(key) or []}
            for each in value:
                by_uid[each.get("uid")] = by_uid.get(each.get("uid"), {}) | each
            result[key] = list(by_uid.values())
        else:
            result[key] = _merged(result.get(key), value, lists_by_uid=lists_by_uid)
    return result


def _left_out(before: Any, now: Any) -> Object:
    """A merge patch that removes what is in `before` and not in `now`."""
    gone: Object = {}
    for key, value in before.items():
        if key not in now:
            gone[key] = None
        elif isinstance(value, dict) and isinstance(now[key], dict):
            gone[key] = _left_out(value, now[key])
    return gone


def _operated(stored: Object, operations: Iterable[Mapping[str, Any]]) -> Object:
    """JSON patch (RFC 6902): add, replace, remove, test."""
    for operation in operations:
        keys = [
            part.replace("~1", "/").replace("~0", "~") for part in operation["path"].lstrip("/").split("/")
        ]
        place: Any = stored
        for key in keys[:-1]:
            place = place[int(key)] if isinstance(place, list) else place.get(key)
            if place is None:
                raise _Answer(422, "Invalid", f"the path {operation['path']} does not exist")
        last: Any = keys[-1]
        if isinstance(place, list):
            last = len(place) if last == "-" else int(last)
        present = last < len(place) if isinstance(place, list) else last in place
        if operation["op"] != "add" and not present:
            raise _Answer(422, "Invalid", f"the path {operation['path']} does not exist")
        if operation["op"] == "test":
            if place[last] != operation["value"]:
                raise _Answer(422, "Invalid", f"testing {operation['path']} failed")
        elif operation["op"] == "remove":
            del place[last]
        elif operation["op"] == "add" and isinstance(place, list):
            place.insert(last, operation["value"])
        else:
            place[last] = operation["value"]
    return stored


class _Reply(io.BytesIO):
    """What urllib3's response offers, as far as the client looks at it."""

    def __init__(self, status: int, data: bytes) -> None:
        super().__init__(data)
        self.status, self.data, self.reason = status, data, ""
        self.headers = {"content-type": "application/json", "Content-Type": "application/json"}

    def release_conn(self) -> None:
        """There is no connection."""


class _Pool:
    """In the place of urllib3's pool manager."""

    def __init__(self, server: MemoryApi) -> None:
        self.server = server

    def request(
        self, method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None, **_: Any
    ) -> _Reply:
        """Send a request to the store."""
        return self.server.handle(method, url, body, headers or {})

    def clear(self) -> None:
        """There are no connections."""
