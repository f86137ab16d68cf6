"""A proxy's configuration as a learner's function returns it: plain dictionaries, here by type and name.

Apart from the host `snapshot`, so that a check does not wait for all that a host imports.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from labsupport.mesh.translate import envoy

TYPES = {
    "clusters": envoy.CLUSTER,
    "endpoints": envoy.ENDPOINTS,
    "listeners": envoy.LISTENER,
    "routes": envoy.ROUTES,
}
WORDS = {type_url: word for word, type_url in TYPES.items()}
SHOWN = 300  # characters of a value in a message

State: TypeAlias = dict[str, dict[str, Any]]  # type in words -> name -> resource


def name_of(kind: str, resource: Any) -> str:
    """A resource's name. ValueError if it has none."""
    key = "cluster_name" if kind == "endpoints" else "name"
    name = resource.get(key) if isinstance(resource, dict) else None
    if not isinstance(name, str) or not name:
        raise ValueError(f"in {kind} there is something without a {key}: {_short(resource)}")
    return name


def read(result: Any) -> State:
    """A snapshot by type and name. ValueError says what is wrong with it."""
    if not isinstance(result, dict):
        raise ValueError(f"a snapshot is a dictionary, not {type(result).__name__}")
    if unknown := set(result) - set(TYPES):
        raise ValueError(f"a snapshot has {', '.join(TYPES)}, and no {', '.join(sorted(map(str, unknown)))}")
    state: State = {kind: {} for kind in TYPES}
    for kind in TYPES:
        given = result.get(kind) or []
        if not isinstance(given, list | tuple):
            raise ValueError(f"{kind} is to be a list, not {type(given).__name__}")
        for resource in given:
            name = name_of(kind, resource)
            if name in state[kind]:
                raise ValueError(f"{kind} has {name} twice")
            state[kind][name] = resource
    return state


def pushed(state: State, push: Any) -> State:
    """The state after one push: a type, and its resources by name, with None for one that goes. ValueError."""
    try:
        kind, resources = push
        changes = dict(resources)
    except (TypeError, ValueError):
        raise ValueError(f"a push is a pair of a type and a dictionary, not {_short(push)}") from None
    if kind not in TYPES:
        raise ValueError(f"a push is of {', '.join(TYPES)}, and not of {kind}")
    after = {**state[kind], **changes}
    return {**state, kind: {name: each for name, each in after.items() if each is not None}}


def check(state: State) -> None:
    """ValueError if Envoy's messages cannot be made of it: which resource, and what is wrong."""
    from labsupport.mesh.serve.messages import encode  # all of Envoy's messages, which takes a while

    for kind, resources in state.items():
        for name, resource in resources.items():
            try:
                encode(TYPES[kind], resource)
            except Exception as error:  # json_format raises several kinds
                text = " ".join(str(error).split())
                raise ValueError(f"{kind} {name}: {text}") from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
