"""What the mesh costs between two Pods, beside the least that mutual TLS takes and beside nothing at all.

Rounds in turn, mesh, hand-written pair, plain pair, so that what the machine does meanwhile meets all three.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from labsupport.cluster.meshbench.figures import spread
from labsupport.cluster.meshbench.place import HAND, MESH, PLAIN, Place, url
from labsupport.console import phase

RATE, SECONDS, CONNECTIONS, ROUNDS = 200.0, 10.0, 4, 6


@dataclass(frozen=True)
class Round:
    """One pair's requests of one round. CPU is that of both Envoys, in microseconds a request."""

    p50_ms: float
    p99_ms: float
    cpu_us: float


@dataclass(frozen=True)
class Pair:
    """All rounds by namespace, and what failed."""

    rounds: dict[str, list[Round]]
    failed: int

    def ratio(self, what: str) -> dict[str, float]:
        """The mesh's share beside the hand-written pair's, round by round: of CPU, or of the time that is added."""

        def value(namespace: str, index: int) -> float:
            found = self.rounds[namespace][index]
            if what == "cpu":
                return found.cpu_us
            base = self.rounds[PLAIN][index]
            added = {"p50": found.p50_ms - base.p50_ms, "p99": found.p99_ms - base.p99_ms}[what]
            return max(0.001, added)

        count = len(self.rounds[MESH])
        ratios = [value(MESH, index) / value(HAND, index) for index in range(count)]
        return {"median": round(statistics.median(ratios), 3), **spread(ratios)}

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "ratio_cpu": self.ratio("cpu"),
            "ratio_p50": self.ratio("p50"),
            "ratio_p99": self.ratio("p99"),
            "failed": self.failed,
            "rounds": {
                name: {
                    what: spread([getattr(each, what) for each in found])
                    for what in ("p50_ms", "p99_ms", "cpu_us")
                }
                for name, found in self.rounds.items()
            },
        }


def measure(place: Place, rounds: int = ROUNDS) -> Pair:
    """Measure it. One short round before fills connections and caches."""
    found: dict[str, list[Round]] = {MESH: [], HAND: [], PLAIN: []}
    failed = 0
    for namespace in found:
        place.steady(namespace, url(namespace), RATE, 2, CONNECTIONS)
    with phase(f"a pair of Pods at {RATE:g} requests a second") as shown:
        for index in range(rounds):
            for namespace, held in found.items():
                shown.update(f"round {index + 1} of {rounds}, {namespace}")
                before = _cpu(place, namespace)
                said = place.steady(namespace, url(namespace), RATE, SECONDS, CONNECTIONS)
                spent = _cpu(place, namespace) - before
                failed += said["failed"]
                held.append(Round(said["p50_ms"], said["p99_ms"], 1e6 * spent / max(1, said["ok"])))
    return Pair(found, failed)


def _cpu(place: Place, namespace: str) -> float:
    return 0.0 if namespace == PLAIN else sum(place.envoy_cpu(namespace, app) for app in ("client", "server"))
