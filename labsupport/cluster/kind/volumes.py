"""Volumes of the default StorageClass: one directory on the host that all nodes of a kind cluster share.

A node's own /tmp is in memory and ends with the container, and a Pod that moves to another node must find its data
there. What containers wrote belongs to their users, so that an ordinary user cannot remove it: a container does.
"""

from __future__ import annotations

import os
from pathlib import Path

from labsupport.cluster.directory import ClusterDirectory, remove_tree
from labsupport.cluster.kind.docker import Engine
from labsupport.errors import LabsError

# Where the controller manager's host path provisioner puts volumes (--enable-hostpath-provisioner).
PLACE = "/tmp/hostpath_pv"  # noqa: S108 (the provisioner's own)


def on_the_host(directory: ClusterDirectory) -> Path:
    """The directory, whether it is there or not."""
    return directory.root / "volumes"


def make(directory: ClusterDirectory) -> None:
    """See that the directory is there."""
    on_the_host(directory).mkdir(exist_ok=True)


def remove(engine: Engine, directory: ClusterDirectory, image: str) -> None:
    """Remove all that is in it, by a container of `image` where it is not this user's to remove.

    Raises LabsError where that fails; then it is still there.
    """
    place = on_the_host(directory)
    if not place.is_dir():
        return
    if os.geteuid() != 0 and any(place.iterdir()):
        command = [
            "run",
            "--rm",
            "--network",
            "none",
            "--user",
            "0:0",
            "--volume",
            f"{place.absolute()}:/volumes",
        ]
        command += ["--entrypoint", "find", image, "/volumes", "-mindepth", "1", "-delete"]
        result = engine.run(*command, timeout=120)
        if not result.ok:
            raise LabsError(
                f"The volumes in {place} cannot be removed: {result.reason()}",
                fix=f"sudo rm -r {place}, then the same command again",
                anchor="docker",
            )
    remove_tree(place)
