"""The topology's page, as the control plane serves it: GET / (what never changes) and /view (what does).

The drawing is labsupport/draw's, which is pure and needs nothing: a notebook shows the same picture.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from labsupport.draw.topology import data
from labsupport.draw.topology.page import asked, view

Topology = Callable[[int], Mapping[str, Any]]  # of the last so many seconds, as GET /topology says it


@cache
def document() -> bytes:
    """The page."""
    return resources.files("labsupport.draw.topology").joinpath("page.html").read_bytes()


@cache
def headers(page: bytes) -> dict[str, str]:
    """What to send with all of it: nothing from elsewhere, no script but the page's own (CSP 3), not kept."""
    scripts = re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)
    allowed = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(each).digest()).decode()}'" for each in scripts
    )
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def answer(target: str, topology: Topology) -> bytes | None:
    """What to answer to a GET of `target` (path and query), None where it is not the page's."""
    path, _, query = target.partition("?")
    if path == "/":
        return document()
    if path == "/view":
        ask = asked(query)
        return view(data.read(topology(ask.seconds)), ask).encode()
    return None
