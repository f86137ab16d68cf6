"""Requests at a fixed rate over connections that stay open.

`python3 -m labsupport.mesh.bench.steady URL RATE SECONDS CONNECTIONS [STOP]` sends for so many seconds, or until there
is a file STOP. It prints one JSON document: latencies, failures, for each value of the header x-version when it was
answered first and last (seconds since the epoch), by which a change's last stale answer is found, and for each status
when it was answered. A request that starts late is measured from when it was due. Raw HTTP/1.1 on asyncio: a client
library would cost more than what is measured.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

TIMEOUT = 5.0  # seconds for an answer


@dataclass
class Seen:
    """What came back."""

    latencies_ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    versions: dict[str, list[float]] = field(default_factory=dict)  # x-version: first and last answer
    times: dict[int, list[float]] = field(default_factory=dict)  # status: when it was answered

    def answered(self, status: int, version: str, milliseconds: float) -> None:
        """An answer has come, just now."""
        now = time.time()
        self.versions.setdefault(version, [now, now])[1] = now
        self.times.setdefault(status, []).append(now)
        if status < 400:
            self.latencies_ms.append(milliseconds)
        else:
            self.failures.append(f"status {status}")

    def as_dict(self) -> dict[str, Any]:
        """For JSON. Latencies are in ms."""
        ordered = sorted(self.latencies_ms)
        counts = {each: self.failures.count(each) for each in sorted(set(self.failures))}
        return {
            "ok": len(ordered),
            "failed": len(self.failures),
            "failures": counts,
            "p50_ms": percentile(ordered, 50),
            "p99_ms": percentile(ordered, 99),
            "versions": self.versions,
            "times": {status: [round(at, 4) for at in each] for status, each in self.times.items()},
        }


def percentile(ordered: list[float], percent: float) -> float:
    """The smallest value that so many percent are not above; nan of nothing."""
    if not ordered:
        return math.nan
    return round(ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)], 3)


async def connection(
    url: SplitResult, seen: Seen, begins: float, ends: float, every: float, stop: str = ""
) -> None:
    """One connection's requests, one every `every` seconds; opened anew after a failure."""
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    request = f"GET {path} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode()
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    due = begins
    while due < ends and not (stop and os.path.exists(stop)):  # noqa: PTH110 (a thousand times a second)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        try:
            async with asyncio.timeout(TIMEOUT):
                if streams is None:
                    streams = await asyncio.open_connection(url.hostname, url.port or 80)
                reader, writer = streams
                writer.write(request)
                status, version, keep = await _answer(reader)
            seen.answered(status, version, 1000 * (time.perf_counter() - due))
            if not keep:
                writer.close()
                streams = None
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            seen.failures.append(type(error).__name__)
            if streams is not None:
                streams[1].close()
                streams = None
        due += every
    if streams is not None:
        streams[1].close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, str, bool]:
    """Status, x-version, and whether the connection stays open."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        await reader.readexactly(int(headers.get("content-length", "0")))
    keep = headers.get("connection", "").lower() != "close"
    return int(head[0].split()[1]), headers.get("x-version", ""), keep


async def run(address: str, rate: float, seconds: float, connections: int, stop: str = "") -> Seen:
    """Send `rate` requests a second over all connections together, for `seconds`."""
    url, seen = urlsplit(address), Seen()
    every = connections / rate
    begins = time.perf_counter() + 0.1
    tasks = [
        connection(url, seen, begins + index * every / connections, begins + seconds, every, stop)
        for index in range(connections)
    ]
    await asyncio.gather(*tasks)
    return seen


def main() -> int:
    """Send, and print what came back."""
    address, rate, seconds, connections, *stop = sys.argv[1:]
    seen = asyncio.run(run(address, float(rate), float(seconds), int(connections), *stop))
    print(json.dumps(seen.as_dict()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
