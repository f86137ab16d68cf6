"""How long is waited for this machine: LABS_PATIENCE, a factor for machines that are many times slower than usual.

Deadlines are made for what was measured on ordinary machines, with much room. An emulated processor, or one that is
shared with much else, is slower than any room that would still be of use elsewhere.
"""

from __future__ import annotations

import os

VARIABLE = "LABS_PATIENCE"


def patient(seconds: float) -> float:
    """The deadline `seconds` as this machine needs it. What is no number from 1 on counts as 1."""
    try:
        factor = float(os.environ.get(VARIABLE, ""))
    except ValueError:
        return seconds
    return seconds * factor if 1 <= factor < float("inf") else seconds
