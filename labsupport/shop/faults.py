"""What a service of the shop does wrong on demand: answers late, with an error, or not at all.

Set at the start by environment variables, and while it runs by `PUT /faults` with any of the same fields as JSON.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

OK = "ok"
LOST = "lost"  # the work is done, then the connection ends without an answer


@dataclass(frozen=True)
class Faults:
    """Milliseconds of delay (plus up to `jitter_ms` more, drawn evenly), a share of requests that fail by
    chance with status 503, and a pattern that requests go through one after another, again and again: `ok`,
    a status such as `503` (nothing is done), or `lost` (done, but not answered).
    """

    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    error_rate: float = 0.0
    pattern: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Faults:
        """LATENCY_MS, JITTER_MS, ERROR_RATE, PATTERN. Errors: ValueError names what is no such value."""
        return cls().changed(
            {
                field.name: environment[field.name.upper()]
                for field in fields(cls)
                if environment.get(field.name.upper())
            }
        )

    def changed(self, values: Mapping[str, Any]) -> Faults:
        """These faults with some fields replaced. Errors: ValueError names what is no such field or value."""
        known = {field.name for field in fields(self)}
        if unknown := set(values) - known:
            raise ValueError(
                f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}"
            )
        numbers = {name: float(value) for name, value in values.items() if name != "pattern"}
        if any(number < 0 for number in numbers.values()) or numbers.get("error_rate", 0) > 1:
            raise ValueError("delays are not negative, and a rate lies between 0 and 1")
        pattern = str(values.get("pattern", self.pattern))
        for act in pattern.split():
            if act not in (OK, LOST) and not (act.isdigit() and 400 <= int(act) <= 599):
                raise ValueError(f"{act!r} in a pattern is neither {OK!r}, {LOST!r} nor a status of an error")
        return replace(self, **numbers, pattern=pattern)


class Misbehaviour:
    """The faults of a running service, and how far it has come in their pattern. Safe for many threads."""

    def __init__(self, faults: Faults) -> None:
        self._lock = threading.Lock()
        self._faults = faults
        self._position = 0

    def change(self, values: Mapping[str, Any]) -> None:
        """Replace some fields and begin the pattern anew. Errors: ValueError as of Faults.changed."""
        with self._lock:
            self._faults = self._faults.changed(values)
            self._position = 0

    def as_dict(self) -> dict[str, Any]:
        """The present faults."""
        return asdict(self._faults)

    def next(self) -> tuple[float, str]:
        """For the next request: seconds to wait, and what to do then (`ok`, a status in digits, `lost`)."""
        with self._lock:
            faults, acts = self._faults, self._faults.pattern.split()
            act = acts[self._position % len(acts)] if acts else OK
            self._position += 1
        delay = (faults.latency_ms + random.uniform(0, faults.jitter_ms)) / 1000
        if act == OK and random.random() < faults.error_rate:
            act = "503"
        return delay, act
