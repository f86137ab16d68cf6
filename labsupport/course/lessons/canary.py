"""Rollouts of lab M7: the host `canary` (labsupport/shop/canary.py) makes one, led by the learner's function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.course.views import Table
from labsupport.errors import LabsError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

TIMEOUT = 110.0  # seconds for one; a cell of a notebook has 120


@dataclass(frozen=True)
class Rollout:
    """What the host tells: how it ended, and each look."""

    ended: str
    why: str
    looks: Sequence[Mapping[str, Any]]

    @property
    def highest(self) -> int:
        """The largest share that the canary had, in percent."""
        return max((int(each["weight"]) for each in self.looks), default=0)

    def __str__(self) -> str:
        reason = f" ({self.why})" if self.why else ""
        weight = self.looks[-1]["weight"] if self.looks else 0
        return f"{self.ended} at {weight} % after {len(self.looks)} looks{reason}"

    def __repr__(self) -> str:
        """The text form."""
        return str(self._table())

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()

    def _table(self) -> Table:
        rows = [
            (
                f"{each['weight']} %",
                "{} of {}".format(*reversed(each["stable"])),
                "{} of {}".format(*reversed(each["canary"])),
                str(each["said"]),
            )
            for each in self.looks
        ]
        columns = ("Canary's share", "Stable: errors", "Canary: errors", "decide said")
        return Table(f"The canary was {self}", columns, rows)


def roll_out(api: ApiClient, namespace: str, name: str = "canary") -> Rollout:
    """Have the host `name` make a rollout. Errors: LabsError if it does not run, or the function raised."""
    path = f"/api/v1/namespaces/{namespace}/services/{name}:80/proxy/rollout"
    try:
        answer = kube.request(api, "POST", path, body={}, timeout=TIMEOUT)
    except kube.Refused as error:
        raise LabsError(
            f"There was no rollout: {error.what}", fix=f"what `lab.deploy` returned for {name} says more"
        ) from error
    return Rollout(answer["ended"], answer["why"], answer["looks"])
