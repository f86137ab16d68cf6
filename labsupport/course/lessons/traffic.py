"""Traffic for the labs: a plan goes to the shop's load generator in the lab's namespace, and what came of it is shown.

The load generator is the Service `load` of clusters/manifests/shop/load.yaml; the API server's proxy leads there.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.course.views import Table
from labsupport.errors import LabsError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

TIMEOUT = 110.0  # seconds for one plan; a cell of a notebook has 120


@dataclass(frozen=True)
class Load:
    """What the load generator saw: see labsupport/shop/load.py for the fields of `result`."""

    result: Mapping[str, Any]

    @property
    def by_pod(self) -> dict[str, int]:
        """Answers by the Pod that gave them."""
        return dict(self.result["by_pod"])

    @property
    def by_connection(self) -> list[dict[str, int]]:
        """Answers by Pod, for each connection that was open at a time."""
        return list(self.result["by_connection"])

    @property
    def latency_ms(self) -> list[float]:
        """How long each request took, in milliseconds."""
        return list(self.result["latency_ms"])

    @property
    def ok(self) -> int:
        """How many were answered with a status below 400."""
        return int(self.result["ok"])

    @property
    def busiest(self) -> float:
        """The share (0 to 1) of all answers that the busiest Pod gave."""
        return max(self.by_pod.values(), default=0) / (sum(self.by_pod.values()) or 1)

    def percentile(self, percent: float) -> float:
        """Milliseconds within which that part of the requests was over."""
        return percentile(self.latency_ms, percent)

    def _table(self) -> Table:
        result = self.result
        what = [f"{count} with status {status}" for status, count in result["by_status"].items()]
        what += [f"{count} {kind}" for kind, count in result["errors"].items()]
        connections = f"{result['opened']} connection{'' if result['opened'] == 1 else 's'} opened"
        title = f"{result['requests']} requests to {result['url']}: {', '.join(what)}; {connections}"
        total = sum(self.by_pod.values()) or 1
        rows = [(pod, str(count), f"{count / total * 100:.0f} %") for pod, count in self.by_pod.items()]
        spread = ", ".join(
            f"{label} {self.percentile(at):.2f}" for label, at in (("p50", 50), ("p90", 90), ("p99", 99))
        )
        rows.append(("milliseconds", spread, ""))
        return Table(title, ("Answered by", "Answers", "Share"), rows)

    def __str__(self) -> str:
        """The text form."""
        return str(self._table())

    def __repr__(self) -> str:
        """The text form."""
        return str(self)

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()


def run(api: ApiClient, namespace: str, url: str, **plan: Any) -> Load:
    """Send the requests of a plan (labsupport.shop.load.Plan) from the load generator in `namespace`.

    Errors: LabsError if there is no load generator, or the plan is none.
    """
    path = f"/api/v1/namespaces/{namespace}/services/load:80/proxy/run"
    try:
        answer = kube.request(api, "POST", path, body={"url": url, **plan}, timeout=TIMEOUT)
    except kube.Refused as error:
        raise LabsError(
            f"The load generator did not do it: {error.what}",
            fix="`labs kubectl get pods` shows whether load is ready",
        ) from error
    return Load(answer)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of `values` lie (linear between neighbours); 0 of none."""
    if len(values) < 2:
        return values[0] if values else 0.0
    return statistics.quantiles(values, n=1000, method="inclusive")[max(0, min(998, round(percent * 10) - 1))]
