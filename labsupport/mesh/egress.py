"""EgressPolicy: whom the Pods of a namespace may call outside of the mesh. The record, and which one holds. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from labsupport.mesh import api
from labsupport.mesh.api import Name, Object, Reference

if TYPE_CHECKING:
    from labsupport.mesh.model import Model

ALLOW, REFUSE = "Allow", "Refuse"
NAME = "default"  # the one of a namespace


@dataclass(frozen=True)
class Rule:
    """What may be called: addresses or hosts, never both; no ports are all ports."""

    cidrs: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()  # "*.example.com" is each name below
    ports: tuple[int, ...] = ()


@dataclass(frozen=True)
class EgressPolicy:
    """What holds for a namespace; without a name it is the mesh's default."""

    name: Name
    refuses: bool = False
    rules: tuple[Rule, ...] = ()

    @property
    def reference(self) -> Reference:
        """Which object it is."""
        return Reference("EgressPolicy", *self.name)

    @property
    def sniffed(self) -> list[int]:
        """The ports on which a connection's name is looked at."""
        return sorted({port for rule in self.rules if rule.hosts for port in rule.ports})

    def hosts(self, port: int) -> list[str]:
        """The hosts that may be called at a port."""
        return sorted({host for rule in self.rules if port in rule.ports for host in rule.hosts})


def egress_policy(found: Object) -> EgressPolicy:
    """An EgressPolicy's record."""
    spec = found["spec"]
    rules = (
        Rule(*(tuple(sorted(each.get(key) or ())) for key in ("cidrs", "hosts", "ports")))
        for each in spec.get("allow") or ()
    )
    return EgressPolicy(api.name_of(found), spec["mode"] == REFUSE, tuple(rules))


def of(model: Model, namespace: str) -> EgressPolicy:
    """What holds in a namespace."""
    return model.egress.get(Name(namespace, NAME)) or default(model)


def default(model: Model) -> EgressPolicy:
    """What holds where nothing is said."""
    return EgressPolicy(Name("", ""), model.settings.egress == REFUSE)
