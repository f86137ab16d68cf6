"""What translation gives: resources, each for all proxies, for those of a namespace, or for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from labsupport.mesh.api import Name, Reference
from labsupport.mesh.translate.envoy import Json

EVERYONE = ""
CAPTURED = "captured"  # the proxies that connections are redirected to


def of_captured(namespace: str) -> str:
    """The scope of the proxies of a namespace that connections are redirected to."""
    return f"captured/{namespace}"


def of_namespace(namespace: str) -> str:
    """The scope of the proxies of a namespace."""
    return f"namespace/{namespace}"


def of_explicit(namespace: str) -> str:
    """The scope of the proxies of a namespace that applications must call themselves."""
    return f"explicit/{namespace}"


def of_workload(name: Name) -> str:
    """The scope of one proxy."""
    return f"workload/{name}"


def scopes(name: Name, capture: str) -> tuple[str, ...]:
    """The scopes of the proxy of a Pod, the narrowest last."""
    how = {"redirect": (CAPTURED, of_captured(name.namespace)), "env": (of_explicit(name.namespace),)}.get(
        capture, ()
    )
    return (EVERYONE, *how, of_namespace(name.namespace), of_workload(name))


class Key(NamedTuple):
    """Which resource: its type's URL, whom it is for, its name. The narrower scope wins where a name is in several."""

    type_url: str
    scope: str
    name: str


@dataclass(frozen=True)
class Resource:
    """A resource in Envoy's JSON. `sources`: the objects that it was made of, which are told if Envoy refuses it."""

    key: Key
    body: Json
    sources: tuple[Reference, ...] = ()
