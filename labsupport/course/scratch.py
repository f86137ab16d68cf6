"""A namespace for what a check makes itself. It goes when the check ends, also by Ctrl-C, and nobody waits for it."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator

from labsupport import kube
from labsupport.course.worlds.world import World, ensure_namespace


@contextlib.contextmanager
def scratch(world: World, progress: Callable[[str], None] | None = None) -> Iterator[str]:
    """Make a namespace of the lab's with a name of its own, and remove it at the end with all that is in it.

    Its Pods get no grace period, since nobody waits for what they would still say. Yields the name. Errors: LabsError.
    """
    name = world.name(f"check-{secrets.token_hex(3)}")
    try:
        ensure_namespace(world, name, progress=progress)
        yield name
    finally:
        _remove(world, name)


def _remove(world: World, name: str) -> None:
    """Begin the removal; the namespace's controller ends it. What is left of a crash goes with the next `lab.start`."""
    with contextlib.suppress(kube.Refused):
        kube.request(
            world.api, "DELETE", f"/api/v1/namespaces/{name}/pods", query={"gracePeriodSeconds": "0"}
        )
    with contextlib.suppress(kube.Refused):  # it was never made
        kube.request(world.api, "DELETE", f"/api/v1/namespaces/{name}")
