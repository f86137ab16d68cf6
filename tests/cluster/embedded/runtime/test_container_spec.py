from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from labsupport.cluster.embedded.runtime import container_spec, spec, users
from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri
from labsupport.cluster.embedded.runtime.images import Image

IMAGE = Image("i:1", "sha256:1", entrypoint=("run",), command=("a", "b"), env={"X": "image", "Y": "image"})
ACCOUNTS = users.Accounts(
    users.parse_passwd("root:x:0:0::/root:/bin/sh\ncourse:x:1000:100::/home/course:/bin/sh\nbroken\n"),
    users.parse_group("wheel:x:10:course,other\nempty:x:11:\n"),
)


def test_command_and_args() -> None:
    assert container_spec.arguments(cri.ContainerConfig(), IMAGE) == ("run", "a", "b")
    assert container_spec.arguments(cri.ContainerConfig(args=["c"]), IMAGE) == ("run", "c")
    assert container_spec.arguments(cri.ContainerConfig(command=["x"]), IMAGE) == ("x",)
    assert container_spec.arguments(cri.ContainerConfig(command=["x"], args=["y"]), IMAGE) == ("x", "y")
    with pytest.raises(ValueError, match="no command"):
        container_spec.arguments(cri.ContainerConfig(), Image("i", "d"))


def test_environment_order_and_bytes() -> None:
    config = cri.ContainerConfig(
        envs=[cri.KeyValue(key="X", value=b"pod"), cri.KeyValue(key="RAW", value=b"\xff")]
    )
    env = container_spec.environment(config, IMAGE, hostname="h", home="/root", real_ids=True)
    assert (env["X"], env["Y"], env["HOSTNAME"], env["HOME"]) == ("pod", "image", "h", "/root")
    travelled = json.loads(json.dumps(env))
    assert os.fsencode(travelled["RAW"]) == b"\xff"
    assert "TERM" not in env
    assert "TAR_OPTIONS" not in env


def test_tar_keeps_to_the_only_owner_there_is() -> None:
    env = container_spec.environment(cri.ContainerConfig(), IMAGE, hostname="h", home="/root", real_ids=False)
    assert env["TAR_OPTIONS"] == "--no-same-owner"


def identity(*, real_ids: bool, **fields: object) -> users.Identity:
    context = cri.LinuxContainerSecurityContext(**fields)  # type: ignore[arg-type]
    return container_spec.identity_of(context, IMAGE, ACCOUNTS, real_ids=real_ids)


def number(value: int) -> cri.Int64Value:
    return cri.Int64Value(value=value)


def test_identity_with_real_ids() -> None:
    assert identity(real_ids=True) == users.Identity(0, 0, (0,), "/root")
    known = identity(real_ids=True, run_as_user=number(1000), supplemental_groups=[5])
    assert known == users.Identity(1000, 100, (5, 10, 100), "/home/course")
    stranger = identity(real_ids=True, run_as_user=number(77), run_as_group=number(88))
    assert stranger == users.Identity(77, 88, (88,), "/")
    strict = identity(
        real_ids=True,
        run_as_username="course",
        supplemental_groups_policy=cri.Strict,
        supplemental_groups=[5],
    )
    assert strict == users.Identity(1000, 100, (5, 100), "/home/course")
    with pytest.raises(LookupError, match="nobody-here"):
        identity(real_ids=True, run_as_username="nobody-here")


@pytest.mark.parametrize(
    "asked",
    [
        {"run_as_user": number(65_536)},
        {"run_as_group": number(70_000)},
        {"supplemental_groups": [5, 100_000]},
    ],
)
def test_an_id_that_the_node_does_not_have_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="this node has the ids 0 to 65535"):
        identity(real_ids=True, **asked)
    assert identity(real_ids=True, run_as_user=number(65_535)).uid == 65_535
    identity(real_ids=False, **asked)


def test_what_one_id_cannot_give_is_noticed() -> None:
    def asked(**fields: object) -> tuple[str, ...]:
        context = cri.LinuxContainerSecurityContext(**fields)  # type: ignore[arg-type]
        return container_spec.ids_asked(context, Image("i", "d", user=1000))

    assert asked() == ()
    assert asked(run_as_user=number(0), run_as_group=number(0)) == ()
    assert asked(run_as_user=number(1000)) == (), "the image's own"
    assert asked(run_as_user=number(7), run_as_group=number(8), supplemental_groups=[9, 10]) == (
        "runAsUser 7",
        "runAsGroup 8",
        "fsGroup or supplementalGroups 9, 10",
    )


def test_identity_with_one_id() -> None:
    stranger = identity(real_ids=False, run_as_user=number(1234), supplemental_groups=[5])
    assert stranger == users.Identity(1234, 0, (), "/")
    known = identity(real_ids=False, run_as_user=number(1000))
    assert known == users.Identity(1000, 100, (), "/home/course")
    in_group = identity(real_ids=False, run_as_user=number(1000), run_as_group=number(7))
    assert in_group == users.Identity(1000, 7, (), "/home/course")


@pytest.mark.parametrize(
    ("uid", "real_ids", "nested"), [(0, False, False), (5, False, True), (5, True, False)]
)
def test_nested_user_namespace_only_where_the_id_does_not_exist(
    uid: int, real_ids: bool, nested: bool
) -> None:
    who = users.Identity(uid, uid, (), "/")
    assert container_spec.privileges(cri.ContainerConfig(), who, real_ids=real_ids).nested is nested


def test_stop_signals() -> None:
    assert container_spec.stop_signal(cri.SIGNAL_RUNTIME_DEFAULT) == signal.SIGTERM
    assert container_spec.stop_signal(cri.SIGNAL_SIGUSR1) == signal.SIGUSR1
    assert container_spec.stop_signal(cri.SIGNAL_SIGRTMINPLUS3) == signal.SIGRTMIN + 3
    assert container_spec.stop_signal(cri.SIGNAL_SIGRTMAXMINUS14) == signal.SIGRTMAX - 14
    for value in cri.Signal.values():
        assert 0 < container_spec.stop_signal(value) <= signal.SIGRTMAX


def test_mounts(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    mounts = container_spec.volume_mounts(
        [
            cri.Mount(host_path=str(tmp_path / "link"), container_path="/a", readonly=True),
            cri.Mount(
                host_path=str(tmp_path / "new"),
                container_path="b",
                propagation=cri.PROPAGATION_BIDIRECTIONAL,
            ),
        ],
        str,
    )
    assert mounts[0] == spec.Mount(str(tmp_path / "real"), "/a", readonly=True)
    assert (mounts[1].target, mounts[1].propagation) == ("/b", spec.SHARED)
    assert (tmp_path / "new").is_dir()


def test_an_image_as_a_volume_is_read_only_and_made_of_the_images_directories() -> None:
    wanted = cri.Mount(container_path="/data", image=cri.ImageSpec(image="sha256:1"), image_sub_path="etc")
    (mount,) = container_spec.volume_mounts([wanted], {"sha256:1": "/layer:/course-root"}.__getitem__)
    assert mount == spec.Mount("etc", "/data", readonly=True, lower="/layer:/course-root")


def test_sandbox_files_give_way_to_the_pods_own() -> None:
    own = [spec.Mount("/v", "/etc/resolv.conf")]
    assert [mount.target for mount in container_spec.file_mounts("/s", own)] == ["/etc/hostname"]


def test_namespaces() -> None:
    def files(**options: object) -> dict[str, str]:
        namespaces = cri.NamespaceOption(**options)  # type: ignore[arg-type]
        return container_spec.namespace_files(namespaces, "/d", "/net", {"t": 42})

    assert files(pid=cri.CONTAINER) == {"uts": "/d/uts", "ipc": "/d/ipc", "net": "/net"}
    assert files(pid=cri.POD)["pid"] == "/d/pid"
    assert files(pid=cri.TARGET, target_id="t")["pid"] == "/proc/42/ns/pid"
    assert files(pid=cri.NODE, ipc=cri.NODE, network=cri.NODE) == {"uts": "/d/uts"}
    with pytest.raises(LookupError, match="gone"):
        files(pid=cri.TARGET, target_id="gone")


def test_resources_keep_what_a_request_leaves_out() -> None:
    old = cri.LinuxContainerResources(cpu_shares=100, memory_limit_in_bytes=5, unified={"a": "1"})
    new = container_spec.resources_after(old, cri.LinuxContainerResources(cpu_shares=200))
    assert (new.cpu_shares, new.memory_limit_in_bytes, dict(new.unified)) == (200, 5, {"a": "1"})
    assert old.cpu_shares == 100
    replaced = container_spec.resources_after(old, cri.LinuxContainerResources(unified={"b": "2"}))
    assert dict(replaced.unified) == {"b": "2"}


def test_spec_round_trip() -> None:
    wanted = spec.ContainerSpec(
        id="c",
        argv=("sh", "-c", "\udcff"),
        env={"A": "b"},
        cwd="/",
        root=spec.Root(
            "/l", "/u", "/shm", mounts=(spec.Mount("/s", "/t", readonly=True),), masked=("/proc/keys",)
        ),
        privileges=spec.Privileges(uid=1, groups=(1, 2), capabilities=("KILL",), oom_score_adj=-5),
        namespaces={"net": "/n"},
    )
    assert spec.container_from_json(json.loads(json.dumps(spec.to_json(wanted)))) == wanted
    sandbox = spec.SandboxSpec("s", "/d", "h", sysctls={"net.a": "1"}, shared_pid=True)
    assert spec.sandbox_from_json(json.loads(json.dumps(spec.to_json(sandbox)))) == sandbox
