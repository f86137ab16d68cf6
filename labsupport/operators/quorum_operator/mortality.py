"""For trials: an operator that dies right after its k-th write, once.

    kubectl -n labs-system set env deployment/quorum-operator QUORUM_OPERATOR_DIES_AFTER=7

Counted is what a Quorum is changed by, from the process's start: writes to the API server and requests to members; not
the Lease, not Events. The kubelet starts another in the same Pod, which finds the mark that the first left, and lives.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)
VARIABLE = "QUORUM_OPERATOR_DIES_AFTER"
MARK = Path("/tmp/died")  # noqa: S108 (in the Pod, on a volume that outlives the container)
STATUS = 137  # as if it had been killed


def end() -> None:
    """At once: no handler, no buffer, no other thread has a say in it."""
    os._exit(STATUS)


def from_environment(mark: Path = MARK, die: Callable[[], None] = end) -> Callable[[str], None]:
    """To be called after each write, with what it was."""
    wanted = os.environ.get(VARIABLE, "")
    if not wanted.isdecimal() or int(wanted) < 1 or mark.exists():
        return lambda what: None
    last, lock, count = int(wanted), threading.Lock(), [0]

    def written(what: str) -> None:
        with lock:
            count[0] += 1
            if count[0] != last:
                return
            log.warning("dies after write %d: %s", last, what)
            mark.touch()
            die()

    return written
