"""From a CRI container configuration and its image to what the shim is to run: pure but for looking at files."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Mapping

from labsupport.cluster.embedded.runtime import capabilities, spec, users
from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri
from labsupport.cluster.embedded.runtime.images import Image

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROPAGATION = {
    cri.PROPAGATION_PRIVATE: spec.PRIVATE,
    cri.PROPAGATION_HOST_TO_CONTAINER: spec.SLAVE,
    cri.PROPAGATION_BIDIRECTIONAL: spec.SHARED,
}


def arguments(config: cri.ContainerConfig, image: Image) -> tuple[str, ...]:
    """What to execute: a Pod's command replaces entrypoint and command, its args replace the command only.

    Raises ValueError when nothing is left.
    """
    command = tuple(config.command) or image.entrypoint
    args = tuple(config.args) or (() if config.command else image.command)
    if not command + args:
        raise ValueError("no command specified")
    return command + args


def environment(
    config: cri.ContainerConfig, image: Image, *, hostname: str, home: str, real_ids: bool
) -> dict[str, str]:
    """The environment: ours, then the image's, then the Pod's (whose values are bytes)."""
    env = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname, "HOME": home}
    if config.tty:
        env["TERM"] = "xterm"
    if not real_ids:
        # There is one id to own files: `kubectl cp` and other uses of tar as root must not ask for another.
        env["TAR_OPTIONS"] = "--no-same-owner"
    env.update(image.env)
    env.update((pair.key, os.fsdecode(pair.value)) for pair in config.envs)
    return env


def identity_of(
    context: cri.LinuxContainerSecurityContext, image: Image, accounts: users.Accounts, *, real_ids: bool
) -> users.Identity:
    """Who the container runs as; raises LookupError for an unknown user name."""
    return users.identity(
        accounts,
        user=context.run_as_user.value if context.HasField("run_as_user") else None,
        username=context.run_as_username,
        image_user=image.user,
        group=context.run_as_group.value if context.HasField("run_as_group") else None,
        supplemental=tuple(context.supplemental_groups),
        strict_groups=context.supplemental_groups_policy == cri.Strict,
        real_ids=real_ids,
    )


def ids_asked(context: cri.LinuxContainerSecurityContext, image: Image) -> tuple[str, ...]:
    """What a Pod asked for that a node with one id can show at most.

    Root is the same everywhere, and the kubelet passes the image's own user on as if the Pod had asked for it. Among
    the supplementary groups it has put fsGroup.
    """
    asked = []
    if context.run_as_user.value not in (0, image.user):
        asked.append(f"runAsUser {context.run_as_user.value}")
    if context.run_as_group.value:
        asked.append(f"runAsGroup {context.run_as_group.value}")
    if context.supplemental_groups:
        groups = ", ".join(map(str, sorted(context.supplemental_groups)))
        asked.append(f"fsGroup or supplementalGroups {groups}")
    return tuple(asked)


def privileges(config: cri.ContainerConfig, identity: users.Identity, *, real_ids: bool) -> spec.Privileges:
    """Ids and capabilities; raises capabilities.UnknownCapability (a ValueError)."""
    context = config.linux.security_context
    adjustment = config.linux.resources.oom_score_adj if config.linux.HasField("resources") else None
    return spec.Privileges(
        uid=identity.uid,
        gid=identity.gid,
        groups=identity.groups,
        capabilities=capabilities.allowed(
            context.capabilities.add_capabilities,
            context.capabilities.drop_capabilities,
            privileged=context.privileged,
        ),
        no_new_privileges=context.no_new_privs,
        nested=not real_ids and (identity.uid, identity.gid) != (0, 0),
        oom_score_adj=adjustment,
    )


def volume_mounts(mounts: Iterable[cri.Mount], lower_of: Callable[[str], str]) -> tuple[spec.Mount, ...]:
    """A Pod's volumes. A missing source directory is made, as containerd does; links are followed here.

    `lower_of` gives the directories of an image, for volumes that are one.
    """
    result = []
    for mount in mounts:
        target = os.path.join("/", mount.container_path)  # noqa: PTH118
        if mount.HasField("image"):
            lower = lower_of(mount.image.image)
            result.append(spec.Mount(mount.image_sub_path.lstrip("/"), target, readonly=True, lower=lower))
            continue
        if not os.path.exists(mount.host_path):  # noqa: PTH110
            os.makedirs(mount.host_path, exist_ok=True)  # noqa: PTH103
        result.append(
            spec.Mount(
                source=os.path.realpath(mount.host_path),
                target=target,
                readonly=mount.readonly,
                recursive_readonly=mount.recursive_read_only,
                propagation=_PROPAGATION[mount.propagation],
            )
        )
    return tuple(result)


def file_mounts(folder: str, taken: Iterable[spec.Mount]) -> tuple[spec.Mount, ...]:
    """resolv.conf and hostname of the sandbox, unless the Pod mounts its own there."""
    targets = {mount.target for mount in taken}
    return tuple(
        spec.Mount(f"{folder}/{name}", f"/etc/{name}", readonly=name == "hostname")
        for name in ("resolv.conf", "hostname")
        if f"/etc/{name}" not in targets
    )


def stop_signal(number: int) -> int:
    """The signal that a Pod's stopSignal (cri.Signal) stands for; SIGTERM when it names none."""
    if number == cri.SIGNAL_RUNTIME_DEFAULT:
        return signal.SIGTERM
    name = cri.Signal.Name(number).removeprefix("SIGNAL_")
    for base, step in (("SIGRTMINPLUS", 1), ("SIGRTMAXMINUS", -1)):
        if name.startswith(base):
            edge = signal.SIGRTMIN if step > 0 else signal.SIGRTMAX
            return int(edge) + step * int(name.removeprefix(base))
    return int(getattr(signal, name))


def resources_after(
    old: cri.LinuxContainerResources, new: cri.LinuxContainerResources
) -> cri.LinuxContainerResources:
    """The resources after UpdateContainerResources: a field that the request leaves at 0 stays as it was."""
    result = cri.LinuxContainerResources()
    result.CopyFrom(old)
    for field, value in new.ListFields():
        if field.name in ("hugepage_limits", "unified"):
            result.ClearField(field.name)
            result.MergeFrom(cri.LinuxContainerResources(**{field.name: value}))
        else:
            setattr(result, field.name, value)
    return result


def namespace_files(
    namespaces: cri.NamespaceOption,
    directory: str,
    network: str,
    target_pids: Mapping[str, int],
) -> dict[str, str]:
    """Which namespaces a container joins, kind -> file. Raises LookupError for a target that does not run."""
    files = {"uts": f"{directory}/uts"}
    if namespaces.ipc != cri.NODE:
        files["ipc"] = f"{directory}/ipc"
    if namespaces.network != cri.NODE:
        files["net"] = network
    if namespaces.pid == cri.POD:
        files["pid"] = f"{directory}/pid"
    elif namespaces.pid == cri.TARGET:
        pid = target_pids.get(namespaces.target_id)
        if pid is None:
            raise LookupError(f"target container {namespaces.target_id} is not running")
        files["pid"] = f"/proc/{pid}/ns/pid"
    return files
