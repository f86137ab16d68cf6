"""Objects whose last change a proxy refused: they are translated as they were before, so that others' changes go on.

One bad route would else keep all routes of its Service as they were. An Envoy says that it refuses a resource, and
why, but not because of which object. So those that changed since a proxy last took the resource are held back; where
that is one, it is that one, and where there are several, they are let in again one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from labsupport.mesh.api import Name, Reference, Route
from labsupport.mesh.model import Model
from labsupport.mesh.traffic import TrafficPolicy
from labsupport.mesh.translate.resource import Key

Record: TypeAlias = Route | TrafficPolicy | None
Records: TypeAlias = Mapping[Reference, Record]


def record(model: Model, reference: Reference) -> Record:
    """An object of a kind that can be held back, as a model has it; None for any other."""
    if reference.kind == "TrafficPolicy":
        return model.traffic.get(Name(reference.namespace, reference.name))
    return model.routes.get(reference)


def suspects(now: Records, good: Records) -> dict[Reference, Record]:
    """Of what a refused resource was made of, what is different from when it was good; each as it was then."""
    return {each: good.get(each) for each, found in now.items() if found and found != good.get(each)}


@dataclass
class Held:
    """What is held back now."""

    instead: dict[Reference, Record] = field(default_factory=dict)  # as it is translated; None: not at all
    why: dict[Reference, str] = field(default_factory=dict)  # of those that are known to be bad
    # The others, in the order in which they are let in, each once this resource was taken without it.
    waiting: list[tuple[Reference, Key]] = field(default_factory=list)

    def applied(self, model: Model) -> Model:
        """The model that is translated."""
        for reference, found in self.instead.items():
            if reference.kind == "TrafficPolicy":
                name = Name(reference.namespace, reference.name)
                model = model.with_traffic(name, found if isinstance(found, TrafficPolicy) else None)
            else:
                model = model.with_route(reference, found if isinstance(found, Route) else None)
        return model

    def hold(self, key: Key, found: Mapping[Reference, Record], why: str) -> list[Reference]:
        """Hold back the suspects of a resource; returns those that were not already."""
        new = sorted(each for each in found if each not in self.instead)
        self.instead.update({each: found[each] for each in new})
        if len(new) == 1:
            self.why[new[0]] = why
        else:
            self.waiting += [(each, key) for each in new]
        return new

    def release(self, reference: Reference) -> None:
        """It is another one now, or is to be tried again."""
        self.instead.pop(reference, None)
        self.why.pop(reference, None)
        self.waiting = [each for each in self.waiting if each[0] != reference]
