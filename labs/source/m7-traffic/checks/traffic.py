"""What the checks of several exercises ask: requests of the load generator, and faults of single Pods."""

from __future__ import annotations

from typing import Any

from labsupport import kube
from labsupport.course.exercise import Probe, Rejected, not_yet
from labsupport.course.lessons import faults, traffic
from labsupport.errors import LabsError


def load(probe: Probe, url: str, **plan: Any) -> traffic.Load:
    """Requests of the load generator. Errors: Rejected if it does not take its order."""
    try:
        return traffic.run(probe.api, probe.namespace, url, **plan)
    except kube.Unreachable:
        raise
    except LabsError as error:
        raise Rejected(
            not_yet(
                "m7/no-load-generator",
                error.what,
                f"Service load in {probe.namespace}",
                "The load generator is part of the lab: `labs kubectl get pods` says how its Pod is.",
            )
        ) from error


def pods(probe: Probe, labels: str) -> list[str]:
    """The names of the Pods that are ready."""
    return faults.ready_pods(probe.api, probe.namespace, labels)


def set_faults(probe: Probe, pod: str, container: str, **wanted: Any) -> None:
    """Make an application of the shop answer wrongly, or well again."""
    faults.change(probe.api, probe.namespace, pod, container, **wanted)
