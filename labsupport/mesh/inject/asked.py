"""What a Pod says about its injection, by annotations; what cannot be meant is refused and not guessed at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labsupport.mesh import names

Object = dict[str, Any]
REDIRECT, ENV = names.CAPTURES
# Prefix of our annotations; a Pod's others are no business of ours.
OURS = f"{names.GROUP}/"
KNOWN = frozenset(
    (names.INJECT, names.CAPTURE, names.EXCLUDE_INBOUND, names.EXCLUDE_OUTBOUND, names.REVISION)
)
MIRROR = "kubernetes.io/config.mirror"  # on the API's picture of a Pod that kubelet runs from a file


class BadPod(ValueError):
    """This Pod cannot be injected as it asks for; the text says why, to the person who made it."""


@dataclass(frozen=True)
class Settings:
    """What is the same for all Pods of a mesh."""

    image: str = names.PROXY_IMAGE
    control: str = (
        f"{names.CONTROL}.{names.SYSTEM}.svc"  # a host name; works in the search domains of every Pod
    )
    capture: str = REDIRECT  # where a Pod does not say
    revision: str = ""  # see revision.py


@dataclass(frozen=True)
class Asked:
    """How one Pod wants its traffic captured."""

    capture: str
    exclude_inbound: tuple[int, ...] = ()
    exclude_outbound: tuple[int, ...] = ()


def annotations_of(pod: Object) -> dict[str, str]:
    """A Pod's annotations, {} where it has none."""
    return pod["metadata"].get("annotations") or {}


def reason_to_leave(pod: Object, namespace: str) -> str:
    """Why a Pod gets no proxy, as half a sentence; "" if it gets one.

    Errors: BadPod where it says something else than true or false.
    """
    said = annotations_of(pod).get(names.INJECT, "true")
    if said not in ("true", "false"):
        raise BadPod(f'the annotation {names.INJECT} must be "true" or "false", not "{said}"')
    if said == "false":
        return f'its annotation {names.INJECT} is "false"'
    if namespace == names.SYSTEM or namespace.startswith("kube-"):
        # The selector of the webhook's configuration leaves these out as well: here nobody can change that.
        return f"it is in {namespace}"
    if pod["spec"].get("hostNetwork"):
        # Its traffic is the node's: capturing it would capture that of kubelet and of every other such Pod.
        return "it uses the network of its node"
    if MIRROR in annotations_of(pod):
        return "kubelet runs it from a file, and the API's copy changes nothing"
    if any(each["name"] == names.PROXY_CONTAINER for each in pod["spec"].get("initContainers") or ()):
        return "it has its proxy already"
    return ""


def asked_of(pod: Object, settings: Settings) -> Asked:
    """What the annotations of a Pod ask for. Errors: BadPod names the annotation and what is wrong with it."""
    said = annotations_of(pod)
    capture = said.get(names.CAPTURE, settings.capture)
    if capture not in names.CAPTURES:
        choices = " or ".join(f'"{each}"' for each in names.CAPTURES)
        raise BadPod(f'the annotation {names.CAPTURE} must be {choices}, not "{capture}"')
    if capture == ENV:
        for key in (names.EXCLUDE_INBOUND, names.EXCLUDE_OUTBOUND):
            if key in said:
                raise BadPod(f'the annotation {key} means nothing with {names.CAPTURE} "{ENV}": remove it')
        return Asked(capture)
    return Asked(capture, _ports(said, names.EXCLUDE_INBOUND), _ports(said, names.EXCLUDE_OUTBOUND))


def _ports(said: dict[str, str], key: str) -> tuple[int, ...]:
    """The ports of an annotation, each once, ascending."""
    words = [word.strip() for word in said.get(key, "").split(",")]
    if words == [""]:
        return ()
    for word in words:
        if not (word.isascii() and word.isdecimal() and 1 <= int(word) <= 65535):
            raise BadPod(
                f'the annotation {key} must be ports (1 to 65535) separated by commas: "{word}" is none'
            )
    return tuple(sorted({int(word) for word in words}))


def unknown_annotations(pod: Object) -> list[str]:
    """Annotations with our prefix that mean nothing, for a warning: most often a slip of the keyboard."""
    return sorted(key for key in annotations_of(pod) if key.startswith(OURS) and key not in KNOWN)
