"""What is written into a proxy's files, and what its counters and its log say became of it.

Envoy tells three things apart: a file that it takes up, one that it understands and rejects, one that it cannot read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from labsupport.errors import LabsError

SHOWN = 420  # characters of Envoy's words
FILE_TYPES = {
    "routes": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
    "endpoints": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
}
# What Envoy writes when it refuses a configuration, at its start or from a file.
SIGNS = ("error initializing config", "update rejected", "update failure")


def is_blank(value: Any) -> bool:
    """Whether there is no content yet: nothing, or a text of comments and empty lines."""
    if isinstance(value, str):
        return all(line.strip()[:1] in ("", "#") for line in value.splitlines())
    return value is None or value is ...


def as_file(name: str, value: Any) -> str:
    """What stands in the file `name`.yaml: a text as it is, a resource in the form of a discovery response.

    Errors: LabsError if the value is neither a text nor a dictionary.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise LabsError(f"{name} is to be a text or a dictionary, not {type(value).__name__}.")
    return json.dumps({"resources": [{"@type": FILE_TYPES[name], **value}]}, indent=1) + "\n"


def outcome(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    """What Envoy made of a file, from its counters before and after: accepted, rejected, unreadable, or unseen."""

    def moved(kind: str) -> bool:
        return any(after.get(name, 0) > before.get(name, 0) for name in after if name.endswith(kind))

    if moved("update_rejected"):
        return "rejected"
    if moved("update_failure"):
        return "unreadable"
    return "accepted" if moved("update_success") else "unseen"


def complaint(log: str) -> str:
    """What an Envoy complains of last, out of its log: one line, without time stamps and source files."""
    found = ""
    for entry in re.split(r"^(?=\[\d{4}-\d\d-\d\d [\d:.]+\])", log, flags=re.MULTILINE):
        match = re.match(r"\[[^\]]*\]\[\d+\]\[(\w+)\]\[\w+\] \[[^\]]*\] (.*)", entry, re.DOTALL)
        if match is None:
            continue
        words = " ".join(match[2].split())
        if any(sign in words for sign in SIGNS) or (match[1] == "critical" and not found):
            found = words
    # A refused message is printed whole before the reason for its refusal.
    if reason := re.search(r"Proto constraint validation failed.*", found):
        found = reason[0]
    return found if len(found) <= SHOWN else f"{found[: SHOWN // 3]} ... {found[-SHOWN * 2 // 3 :]}"
