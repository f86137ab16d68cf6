"""What a sidecar takes: memory of Envoy with its helper, time until a Pod is ready, time of a Pod's admission."""

from __future__ import annotations

import copy
import statistics
import time
from dataclasses import dataclass
from typing import Any

from labsupport import kube
from labsupport.cluster.bench import MANIFEST
from labsupport.cluster.meshbench.figures import spread
from labsupport.cluster.meshbench.place import MESH, PLAIN, Place
from labsupport.console import phase
from labsupport.kube.execute import execute
from labsupport.kube.wait import condition_is
from labsupport.mesh.names import PROXY_CONTAINER
from labsupport.patience import patient

SIDECARS, PODS, ADMISSIONS = 10, 12, 60
READY = patient(60.0)  # seconds
# Pss of every process in the container, in kB, and its name.
MEMORY = 'for p in /proc/[0-9]*; do echo "$(cat $p/comm) $(grep ^Pss: $p/smaps_rollup)"; done 2>/dev/null'


@dataclass(frozen=True)
class Footprint:
    """MB (2^20 bytes) for each sidecar; seconds and milliseconds for each Pod, with and without."""

    envoy_mb: tuple[float, ...]
    helper_mb: tuple[float, ...]
    ready_s: dict[str, tuple[float, ...]]
    admission_ms: dict[str, tuple[float, ...]]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        both = [a + b for a, b in zip(self.envoy_mb, self.helper_mb, strict=True)]
        ready = {name: spread(values) for name, values in self.ready_s.items()}
        admission = {name: spread(values) for name, values in self.admission_ms.items()}
        return {
            "sidecar_pss_mb": {"mean": round(statistics.mean(both), 1), **spread(both)},
            "envoy_pss_mb": {"mean": round(statistics.mean(self.envoy_mb), 1), **spread(self.envoy_mb)},
            "pod_ready_s": ready | {"added_p50": round(ready[MESH]["p50"] - ready[PLAIN]["p50"], 3)},
            "admission_ms": admission
            | {"added_p50": round(admission[MESH]["p50"] - admission[PLAIN]["p50"], 2)},
        }


def measure(place: Place) -> Footprint:
    """Measure it."""
    (template,) = kube.load(MANIFEST)
    ready: dict[str, list[float]] = {MESH: [], PLAIN: []}
    with phase(f"{PODS} Pods with a sidecar and {PODS} without, in turn") as shown:
        for index in range(PODS):
            for namespace, times in ready.items():
                shown.update(f"{index + 1} of {PODS}")
                times.append(_ready(place, template, namespace, f"ready-{index}"))
    with phase(f"{ADMISSIONS} admissions in each namespace, in turn"):
        admission: dict[str, list[float]] = {MESH: [], PLAIN: []}
        for _ in range(ADMISSIONS):
            for namespace, times in admission.items():
                times.append(_admission(place, template, namespace))
    with phase(f"memory of {SIDECARS} sidecars"):
        sizes = _memory(place)
    return Footprint(
        tuple(each["envoy"] for each in sizes),
        tuple(sum(each.values()) - each["envoy"] for each in sizes),
        {name: tuple(values) for name, values in ready.items()},
        {name: tuple(values) for name, values in admission.items()},
    )


def _pod(template: dict[str, Any], namespace: str, name: str) -> dict[str, Any]:
    pod = copy.deepcopy(template)
    pod["metadata"] |= {"name": name, "namespace": namespace}
    return pod


def _ready(place: Place, template: dict[str, Any], namespace: str, name: str) -> float:
    pod = _pod(template, namespace, name)
    began = time.monotonic()
    kube.request(place.api, "POST", f"/api/v1/namespaces/{namespace}/pods", body=pod)
    kube.until(place.api, kube.Target("v1", "Pod", name, namespace), condition_is("Ready"), timeout=READY)
    took = time.monotonic() - began
    kube.delete(place.api, [pod])
    return took


def _admission(place: Place, template: dict[str, Any], namespace: str) -> float:
    path, query = f"/api/v1/namespaces/{namespace}/pods", {"dryRun": "All"}
    began = time.perf_counter()
    kube.request(place.api, "POST", path, query=query, body=_pod(template, namespace, "never"))
    return 1000 * (time.perf_counter() - began)


def _memory(place: Place) -> list[dict[str, float]]:
    """MB of each process of each sidecar of the server, of which there are SIDECARS."""
    path = f"/apis/apps/v1/namespaces/{MESH}/deployments/server"
    try:
        kube.patch(place.api, path, {"spec": {"replicas": SIDECARS}})
        kube.until_ready(
            place.api, [("apps/v1", kube.Applied("Deployment", MESH, "server", ""))], timeout=READY
        )
        found = []
        for pod in kube.list_objects(place.api, "v1", "Pod", MESH, labels="app=server"):
            name = pod["metadata"]["name"]
            said = execute(place.api, MESH, name, ["sh", "-c", MEMORY], container=PROXY_CONTAINER)
            sizes: dict[str, float] = {}
            for line in said.splitlines():
                words = line.split()
                if len(words) == 4 and words[0] not in ("sh", "cat", "grep"):  # those are the question itself
                    sizes[words[0]] = sizes.get(words[0], 0.0) + int(words[2]) / 1024
            found.append(sizes)
        return found
    finally:
        kube.patch(place.api, path, {"spec": {"replicas": 1}})
