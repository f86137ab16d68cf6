"""`labs bench mesh`: what the mesh costs and how fast it is, beside what it is compared with in the same run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

PARTS = ("propagation", "pair", "footprint", "scale", "telemetry", "calm")


def measure(parts: Sequence[str] = PARTS) -> dict[str, Any]:
    """Measure these parts, but for telemetry on a cluster of its own. README.md of the mesh has the keys."""
    from labsupport.cluster.meshbench import (
        authorization,
        calm,
        footprint,
        pair,
        propagation,
        scale,
        telemetry,
    )
    from labsupport.cluster.meshbench.figures import machine
    from labsupport.cluster.meshbench.place import place

    found: dict[str, Any] = {"machine": machine()}
    if "telemetry" in parts:
        found["telemetry"] = telemetry.measure()
    if not {*parts} - {"telemetry"}:
        return found
    with place() as here:
        if "propagation" in parts:
            found["propagation_ms"] = propagation.measure(here).as_dict()
            found["propagation_ms"]["authz"] = authorization.measure(here).as_dict()
        if "pair" in parts:
            found["pair"] = pair.measure(here).as_dict()
        if "footprint" in parts:
            found["footprint"] = footprint.measure(here).as_dict()
        if "scale" in parts:
            found |= scale.measure(here)
        if "calm" in parts:
            found["calm"] = calm.as_dict(calm.measure(here))
    return found


def describe(found: dict[str, Any]) -> str:
    """What was measured, as a person reads it."""
    lines = []
    if part := found.get("propagation_ms"):
        lines.append(
            f"route changed to last stale answer  {_spread(part['route'])} ms, {part['failed']} failed"
        )
        lines.append(f"  of that until the API's answer    {_spread(part['apply'])} ms")
        lines += _authorization(part["authz"])
    if part := found.get("pair"):
        for name, key in (("CPU a request", "cpu"), ("added p50", "p50"), ("added p99", "p99")):
            ratio = part[f"ratio_{key}"]
            low, high = ratio["min"], ratio["max"]
            lines.append(
                f"mesh / hand-written pair, {name:14}  {ratio['median']:.2f} ({low:.2f} to {high:.2f})"
            )
    if part := found.get("footprint"):
        envoy = part["envoy_pss_mb"]["mean"]
        lines.append(f"sidecar with helper, mean PSS  {part['sidecar_pss_mb']['mean']} MB (Envoy {envoy})")
        lines.append(f"Pod to Ready, added p50        {part['pod_ready_s']['added_p50']} s")
        lines.append(f"admission, added p50           {part['admission_ms']['added_p50']} ms")
    for size in found.get("scale", ()):
        lines.append(
            f"{size['services']:5} Services, {size['proxies']:3} proxies: sync {size['sync_s']} s; an endpoint "
            f"{size['endpoint_p50_ms']} ms, p99 {size['endpoint_p99_ms']}, CPU {size['endpoint_cpu_ms']}; a route "
            f"{size['route_p50_ms']} ms, p99 {size['route_p99_ms']}, CPU {size['route_cpu_ms']}"
        )
    if slopes := found.get("slopes"):
        lines.append(
            "growth of CPU for a change (exponent): " + ", ".join(f"{k} {v}" for k, v in slopes.items())
        )
    if part := found.get("telemetry"):
        cost, exact, edges = part["cost"], part["exact"], part["edges"]
        for name, key in (("telemetry's share of CPU", "share"), ("  without, beside without", "error")):
            said = cost[key]
            lines.append(
                f"{name:30} {said['median']:+.1%} ({said['min']:+.1%} to {said['max']:+.1%}, load {cost['load']})"
            )
        for name, us in cost["us"].items():
            lines.append(
                f"  us a request, {name:15} " + ", ".join(f"{key} {value}" for key, value in us.items())
            )
        lines.append(f"requests sent, and counted     {exact['sent']}, {exact['counted']}")
        lines.append(
            f"{edges['edges']} edges: {edges['counted']} of {edges['requests']} counted, CPU {edges['cpu_us']} us, "
            f"{edges['rss_mb']} MB, topology {edges['topology_ms']} ms, loop late by p99 {edges['late_p99_ms']} ms"
        )
    lines += [
        f"{each['doing']}: {each['failed']} of {each['requests']} failed" for each in found.get("calm", ())
    ]
    return "\n".join(lines)


def _authorization(part: dict[str, Any]) -> list[str]:
    every = {key: part[key] for key in ("min", "p50", "p90", "p99", "max")}
    return [
        f"policy changed to last stale answer {_spread(every)} ms, {part['failed']} failed",
        f"  to a refusal                      {_spread(part['deny'])} ms",
        f"  to an answer                      {_spread(part['allow'])} ms",
        f"  of that until the API's answer    {_spread(part['apply'])} ms",
    ]


def _spread(values: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:g}" for key, value in values.items())
