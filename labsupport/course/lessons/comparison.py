"""Two ways to the same service, measured in turn at a fixed rate, as distributions with their spread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labsupport.course.lessons import traffic
from labsupport.draw.ecdf import ecdf, quantile
from labsupport.errors import LabsError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


@dataclass(frozen=True)
class Comparison:
    """Milliseconds of each request, by way and round."""

    rounds: Mapping[str, list[list[float]]]
    title: str

    def percentile(self, way: str, percent: float) -> float:
        """Milliseconds within which that part of the requests of one way was over."""
        return quantile([value for each in self.rounds[way] for value in each], percent)

    def added(self, percent: float) -> float:
        """By how many milliseconds the second way's percentile exceeds the first's."""
        first, second = list(self.rounds)[:2]
        return self.percentile(second, percent) - self.percentile(first, percent)

    def __str__(self) -> str:
        """The text form."""
        return str(ecdf(self.rounds, title=self.title, unit="ms"))

    def __repr__(self) -> str:
        """The text form."""
        return str(self)

    def _repr_html_(self) -> str:
        return ecdf(self.rounds, title=self.title, unit="ms").svg


def compare(
    api: ApiClient,
    namespace: str,
    ways: Mapping[str, str],
    *,
    rate: float = 200.0,
    seconds: float = 1.5,
    rounds: int = 4,
    connections: int = 4,
) -> Comparison:
    """Ask each URL of `ways` at `rate` requests a second for `seconds`, so many `rounds`, in an order that alternates.

    A few requests before the first round open what is opened once. Errors: LabsError if a way does not answer.
    """
    count = max(1, round(rate * seconds))
    for url in ways.values():
        traffic.run(api, namespace, url, requests=4 * connections, connections=connections)
    found: dict[str, list[list[float]]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, url in list(ways.items())[:: 1 if number % 2 == 0 else -1]:
            done = traffic.run(
                api, namespace, url, requests=count, connections=connections, rate=rate, keep=True
            )
            if done.ok < count:
                raise LabsError(
                    f"Of {count} requests to {url} only {done.ok} were answered well: nothing can be compared.",
                    fix="find out why with lab.load(...) first",
                )
            found[name].append(done.latency_ms)
    title = f"{count * rounds} requests each way, {rate:g} a second over {connections} connections, {rounds} rounds"
    return Comparison(found, title)
