"""Which node image a kind cluster is made from: one that was named, kind's own, or the one assembled here."""

from __future__ import annotations

from labsupport import paths
from labsupport.cluster import process, versions
from labsupport.cluster.kind import docker, node_image
from labsupport.console import note, phase
from labsupport.errors import LabsError

REGISTRY_SECONDS = 15.0  # for a registry to answer whether it has an image


def provide(engine: docker.Engine, wanted: str | None) -> str:
    """The name of the node image, which the engine has then: `wanted`, or with None kind's own or one made here.

    LabsError where it cannot be had.
    """
    if wanted:
        if not docker.has_image(engine, wanted):
            with phase(f"Fetching {wanted}"):
                result = engine.run("pull", wanted, timeout=1800)
            if not result.ok:
                raise LabsError(
                    f"The image {wanted} cannot be fetched: {result.reason(1)}",
                    fix="leave out --image: the node image is then assembled here, without a registry",
                    anchor="node-image",
                )
        return wanted
    if not node_image.is_there(paths.cache()) and (upstream := upstream_image(engine)):
        return upstream
    made = node_image.ensure(paths.cache())
    if not docker.has_image(engine, made.reference):
        with phase(f"Loading the node image into {engine.name}"):
            engine.must("load", "--input", made.archive, timeout=600)
    return made.reference


def upstream_image(engine: docker.Engine) -> str:
    """kind's own node image, pinned by digest, fetched if a registry answers; "" where it cannot be had.

    The registry is asked first, for a moment only: a machine without one must not wait for a download to give up.
    """
    reference = versions.load().images["kind_node"]
    if docker.has_image(engine, reference):
        return reference
    try:
        result = engine.run("manifest", "inspect", reference, timeout=REGISTRY_SECONDS)
        if result.ok:
            with phase(f"Fetching {reference.partition('@')[0]} (about 400 MB)"):
                result = engine.run("pull", reference, timeout=1800)
        reason = "" if result.ok else result.reason(1)
    except process.TimedOut as error:
        reason = str(error)
    if reason:
        note(f"  kind's own node image cannot be fetched ({reason}); one is assembled here instead")
    return "" if reason else reference
