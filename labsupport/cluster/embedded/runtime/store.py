"""What is known about sandboxes and containers, kept as one JSON file each.

A record is written before the kubelet hears of it and read again when the server starts. Files are replaced, never
changed in place, and lie in directories that only the node's root can enter.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri


@dataclass
class Sandbox:
    """A Pod's sandbox. `address` is empty in the node's network; times are nanoseconds since the epoch."""

    id: str
    config: cri.PodSandboxConfig
    created_at: int
    address: str = ""
    ready: bool = True
    runtime_handler: str = ""

    @property
    def namespaces(self) -> cri.NamespaceOption:
        """Which namespaces the Pod asked for."""
        return self.config.linux.security_context.namespace_options

    @property
    def host_network(self) -> bool:
        """Whether the Pod uses the node's network."""
        return self.namespaces.network == cri.NODE


@dataclass
class Container:
    """A container, from its creation until the kubelet removes it.

    `image_id` is kept here: a catalogue that changes must not make old containers unlistable.
    `ended` is set when the container has exited (or never ran and never will); `starting` is held by who starts
    it, and by who must know whether it was started.
    """

    id: str
    sandbox_id: str
    config: cri.ContainerConfig
    image_id: str
    image_name: str
    created_at: int
    log_path: str = ""
    state: cri.ContainerState = cri.CONTAINER_CREATED
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    pid: int = 0
    uid: int = 0
    gid: int = 0
    groups: list[int] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)
    starting: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)


Record = TypeVar("Record", Sandbox, Container)


def encode(record: Sandbox | Container) -> dict[str, Any]:
    """The record as a dictionary that `json` can write."""
    data = {key: value for key, value in vars(record).items() if key not in ("ended", "starting")}
    data["config"] = json_format.MessageToDict(record.config, preserving_proto_field_name=True)
    return data


def _decode_config(data: dict[str, Any], message: Message) -> dict[str, Any]:
    # A newer version may have written fields that this one does not know.
    config = json_format.ParseDict(data["config"], message, ignore_unknown_fields=True)
    return {**data, "config": config}


def decode_sandbox(data: dict[str, Any]) -> Sandbox:
    """The opposite of `encode`."""
    return Sandbox(**_decode_config(data, cri.PodSandboxConfig()))


def decode_container(data: dict[str, Any]) -> Container:
    """The opposite of `encode`."""
    container = Container(**_decode_config(data, cri.ContainerConfig()))
    if container.state == cri.CONTAINER_EXITED:
        container.ended.set()
    return container


class Table(Generic[Record]):
    """Records by id, in memory and below `directory`: <id>/record.json, and room for the record's other files."""

    def __init__(self, directory: Path, decode: Callable[[dict[str, Any]], Record]) -> None:
        """Load what is there; a damaged record is moved aside rather than stopping the node."""
        self.directory = directory
        self._records: dict[str, Record] = {}
        self._lock = threading.Lock()
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
        for path in sorted(directory.iterdir()):
            try:
                record = decode(json.loads((path / "record.json").read_text()))
            except (OSError, ValueError, TypeError, KeyError, json_format.ParseError) as error:
                print(f"dropping the damaged record {path}: {error}", flush=True)
                shutil.rmtree(path, ignore_errors=True)
                continue
            self._records[record.id] = record

    def __iter__(self) -> Iterator[Record]:
        """All records, oldest first, as they are now."""
        return iter(sorted(self._records.values(), key=lambda record: record.created_at))

    def get(self, record_id: str) -> Record | None:
        """The record with exactly this id."""
        return self._records.get(record_id)

    def folder(self, record_id: str) -> Path:
        """The record's own directory."""
        return self.directory / record_id

    def add(self, record: Record) -> None:
        """Write a new record."""
        with self._lock:
            self.folder(record.id).mkdir(mode=0o700)
            self._write(record)
            self._records[record.id] = record

    def save(self, record: Record) -> None:
        """Write a changed record; one that was removed meanwhile stays removed."""
        with self._lock:
            if record.id in self._records:
                self._write(record)

    def _write(self, record: Record) -> None:
        folder = self.folder(record.id)
        new = folder / "record.json.new"
        new.write_text(json.dumps(encode(record)))
        os.replace(new, folder / "record.json")  # noqa: PTH105 - says better what it does

    def remove(self, record_id: str) -> None:
        """Forget the record and delete its directory with all that the container wrote."""
        with self._lock:
            self._records.pop(record_id, None)
        shutil.rmtree(self.folder(record_id), ignore_errors=True)
