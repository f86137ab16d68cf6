"""The CRI log format: `<time> <stream> <tag> <text>`, tag F for a whole line, P for a part of one.

Source: Kubernetes design proposal "CRI: logging" and k8s.io/cri-client/pkg/logs. Lines longer than 16 KiB are
split, as other runtimes do.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

MAX_LINE = 16 * 1024


@dataclass
class LineSplitter:
    """Cuts one stream's bytes into log entries; keeps the unfinished line between calls."""

    stream: str
    rest: bytes = b""

    def feed(self, data: bytes, now_ns: int) -> bytes:
        """The log entries that `data` completes, ready to be written."""
        prefix = f"{timestamp(now_ns)} {self.stream} ".encode()
        *lines, self.rest = (self.rest + data).split(b"\n")
        out = []
        for line in lines:
            start = 0
            while len(line) - start > MAX_LINE:
                out.append(prefix + b"P " + line[start : start + MAX_LINE] + b"\n")
                start += MAX_LINE
            out.append(prefix + b"F " + line[start:] + b"\n")
        while len(self.rest) > MAX_LINE:
            out.append(prefix + b"P " + self.rest[:MAX_LINE] + b"\n")
            self.rest = self.rest[MAX_LINE:]
        return b"".join(out)

    def finish(self, now_ns: int) -> bytes:
        """The entry for a last line without a newline: a part, so that no reader adds one."""
        if not self.rest:
            return b""
        entry = f"{timestamp(now_ns)} {self.stream} P ".encode() + self.rest + b"\n"
        self.rest = b""
        return entry


def timestamp(now_ns: int) -> str:
    """RFC 3339 in UTC with nanoseconds."""
    seconds, fraction = divmod(now_ns, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{fraction:09d}Z"
