from __future__ import annotations

from pathlib import Path

import pytest

from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri
from labsupport.cluster.embedded.runtime.store import (
    Container,
    Sandbox,
    Table,
    decode_container,
    decode_sandbox,
)


def container() -> Container:
    config = cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name="web", attempt=2),
        envs=[cri.KeyValue(key="RAW", value=b"\xff\x00")],
        labels={"io.kubernetes.pod.name": "p"},
    )
    return Container("c1", "s1", config, "sha256:1", "labs.example/web:1", 5, uid=7, groups=[7, 9])


def test_container_survives_a_restart(tmp_path: Path) -> None:
    table = Table(tmp_path / "containers", decode_container)
    record = container()
    record.state, record.exit_code, record.reason = cri.CONTAINER_EXITED, 3, "Error"
    table.add(record)
    again = Table(tmp_path / "containers", decode_container).get("c1")
    assert again == record
    assert again is not None
    assert again.config.envs[0].value == b"\xff\x00"
    assert again.ended.is_set()


def test_running_container_has_not_ended(tmp_path: Path) -> None:
    table = Table(tmp_path / "containers", decode_container)
    record = container()
    record.state = cri.CONTAINER_RUNNING
    table.add(record)
    again = Table(tmp_path / "containers", decode_container).get("c1")
    assert again is not None
    assert not again.ended.is_set()


def test_sandbox_round_trip_and_order(tmp_path: Path) -> None:
    table = Table(tmp_path / "sandboxes", decode_sandbox)
    for name, created in (("b", 2), ("a", 1)):
        table.add(Sandbox(name, cri.PodSandboxConfig(hostname=name), created, address="10.244.0.2"))
    again = Table(tmp_path / "sandboxes", decode_sandbox)
    assert [sandbox.id for sandbox in again] == ["a", "b"]
    assert [sandbox.config.hostname for sandbox in again] == ["a", "b"]


def test_only_the_owner_can_look_in(tmp_path: Path) -> None:
    table = Table(tmp_path / "containers", decode_container)
    table.add(container())
    assert (tmp_path / "containers").stat().st_mode & 0o777 == 0o700
    assert table.folder("c1").stat().st_mode & 0o777 == 0o700


def test_removal_takes_all_files(tmp_path: Path) -> None:
    table = Table(tmp_path / "containers", decode_container)
    table.add(container())
    (table.folder("c1") / "upper").mkdir()
    (table.folder("c1") / "upper" / "f").write_text("x")
    table.remove("c1")
    assert table.get("c1") is None
    assert list((tmp_path / "containers").iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": "c1"}'])
def test_damaged_record_is_dropped(tmp_path: Path, text: str) -> None:
    table = Table(tmp_path / "containers", decode_container)
    table.add(container())
    (table.folder("c1") / "record.json").write_text(text)
    assert list(Table(tmp_path / "containers", decode_container)) == []


def test_unknown_field_of_a_newer_version_is_ignored(tmp_path: Path) -> None:
    table = Table(tmp_path / "sandboxes", decode_sandbox)
    table.add(Sandbox("a", cri.PodSandboxConfig(hostname="h"), 1))
    path = table.folder("a") / "record.json"
    path.write_text(path.read_text().replace('"hostname"', '"brand_new": 1, "hostname"'))
    assert [s.config.hostname for s in Table(tmp_path / "sandboxes", decode_sandbox)] == ["h"]


def test_change_after_removal_brings_nothing_back(tmp_path: Path) -> None:
    table = Table(tmp_path / "containers", decode_container)
    record = container()
    table.add(record)
    table.remove("c1")
    record.exit_code = 1
    table.save(record)
    assert list(table) == []
    assert list((tmp_path / "containers").iterdir()) == []


def test_changed_record_is_written(tmp_path: Path) -> None:
    table = Table(tmp_path / "containers", decode_container)
    record = container()
    table.add(record)
    record.exit_code = 7
    table.save(record)
    assert [r.exit_code for r in Table(tmp_path / "containers", decode_container)] == [7]
