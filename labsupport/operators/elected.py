"""A host: one of several replicas of a kopf operator, of which a learner's function elects the one that works.

The function is `elect(lease, me, note, clock, leaving)`. It is called every `retry` seconds (a setting, 1 by default),
and returns until when this replica may act, by `clock()`, or None if it may not; if it raises, what it returned last
holds.
The handlers that travel along are run by kopf as in kopf_host.py, from when the function has returned such a time. When
that has passed, the program ends at once, whatever it is doing: what it was about to do is another one's now.

SIGTERM: no handler is called any more, then the function is called once with `leaving`, then the process ends.
SIGUSR1: the program ends at once, as if it had been killed; the lab does that to whoever leads.

A program that ends at once begins anew in the same process, as another candidate. A container that ends would be
started again as well, but later each time.

Records, besides kopf_host's: `record` (election), `what` (begins, leads, lost, leaves, gave), `by` (who), `at` (seconds
since 1970).
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from labsupport import kube
from labsupport.operators import kopf_host, learner

if TYPE_CHECKING:
    import kopf
    from kubernetes.client import ApiClient

NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
RETRY = 1.0  # seconds between two looks
TIMEOUT = 3.0  # seconds for one request about the Lease
LIMIT = 10.0  # seconds for one look before it is told that it takes long
END = 2.0  # seconds for kopf to end its handlers
CONFLICT = 409


class Lease:
    """A Lease (coordination.k8s.io/v1) as the function sees it: `read`, `write`, `stamp`."""

    def __init__(self, api: ApiClient, namespace: str, name: str) -> None:
        self._api, self._name = api, name
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"
        self._found: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        """Its spec as it is; empty if nobody has ever had it. Errors: Refused, Unreachable."""
        self._found = kube.request(self._api, "GET", self._path, timeout=TIMEOUT)
        return dict(self._found.get("spec") or {})

    def write(self, change: Mapping[str, Any]) -> bool:
        """Alter these entries of its spec, if nobody has written since the last `read`; whether that was done.

        acquireTime and leaseTransitions, which nobody decides by, follow the holder by themselves. Errors: Refused for
        any other reason, Unreachable (then it may have been done).
        """
        if not self._found:
            raise ValueError("The Lease is to be read before it is written.")
        before = self._found.get("spec") or {}
        spec = {**before, **change}
        if spec.get("holderIdentity") and spec["holderIdentity"] != before.get("holderIdentity"):
            spec["acquireTime"] = self.stamp()
            spec["leaseTransitions"] = int(before.get("leaseTransitions") or 0) + 1
        try:
            self._found = kube.request(
                self._api, "PUT", self._path, body={**self._found, "spec": spec}, timeout=TIMEOUT
            )
        except kube.Refused as error:
            if error.status != CONFLICT:
                raise
            return False
        return True

    def stamp(self) -> str:
        """What this machine's wall clock says, as the API wants times."""
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Replica:
    """One replica: asks the function, acts as long as it may, and ends when it may not any more.

    `work` begins the work, in a thread of its own; `rest` ends it. `fall` ends everything at once, `leave` the process.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        lease: Lease,
        me: str,
        *,
        work: Callable[[], None],
        rest: Callable[[], None],
        fall: Callable[[], None],
        leave: Callable[[], None],
        retry: float = RETRY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._function, self._lease, self.me = function, lease, me
        self._work, self._rest, self._fall, self._leave = work, rest, fall, leave
        self._retry, self._clock = retry, clock
        self._note: dict[str, Any] = {}
        self._until: float | None = None
        self._acts = False
        self._changed = threading.Condition()
        self.stop = threading.Event()

    def look(self) -> None:
        """Ask the function once, and begin or end the work as it says."""
        try:
            said = self._function(
                self._lease, self.me, self._note, self._clock, False, about="a look", limit=LIMIT
            )
        except Exception:
            return  # learner.py has told of it; what it said last holds
        with self._changed:
            self._until = float(said) if isinstance(said, int | float) and said is not False else None
            may = self._until is not None and self._until > self._clock()
            if may and not self._acts:
                self._acts = True
                self._tell("leads")
                self._work()
            self._changed.notify_all()

    def watch(self) -> None:
        """Wait until this replica has begun and may not act any more; have it fall then."""
        with self._changed:
            while not self.stop.is_set():
                left = self._left()
                if left <= 0:
                    self._tell("lost")
                    self._fall()
                    return
                self._changed.wait(left)

    def _left(self) -> float:
        """Seconds until the work has to end; a long time if there is none."""
        if not self._acts:
            return threading.TIMEOUT_MAX
        return -1.0 if self._until is None else self._until - self._clock()

    def run(self) -> None:
        """Look again and again until `stop` is set, then give up what is held, and leave."""
        self._tell("begins")
        while not self.stop.is_set():
            self.look()
            learner.ready()
            self.stop.wait(self._retry)
        with self._changed:
            self._changed.notify_all()
        self._tell("leaves")
        if self._acts:
            self._rest()
        try:
            self._function(self._lease, self.me, self._note, self._clock, True, about="the end", limit=LIMIT)
            self._tell("gave")
        finally:
            self._leave()

    def _tell(self, what: str) -> None:
        kopf_host.write({"record": "election", "what": what, "by": self.me, "at": time.time()})


def main() -> int:
    """Run until the Pod ends. The lab's API group and the operator's name are the arguments."""
    from kubernetes import config

    function = learner.load()
    group, name = sys.argv[1:3]
    with open(NAMESPACE) as file:
        namespace = file.read()
    config.load_incluster_config()  # type: ignore[no-untyped-call]
    # Another one after each start: what a killed program had held is not its successor's.
    me = f"{socket.gethostname()}_{secrets.token_hex(2)}"
    registry = kopf_host.registered(function, me)
    ended, finished = threading.Event(), threading.Event()

    def work() -> None:
        threading.Thread(target=_work, args=(registry, group, name, namespace), daemon=True).start()

    def _work(registry: kopf.OperatorRegistry, group: str, name: str, namespace: str) -> None:
        kopf_host.serve(function, registry, kopf_host.settings(group, name), namespace, stop=ended)
        finished.set()

    def rest() -> None:
        ended.set()
        finished.wait(END)

    lease = Lease(kube.connect_in_pod(), namespace, name)
    replica = Replica(
        function,
        lease,
        me,
        work=work,
        rest=rest,
        fall=fall,
        leave=lambda: os._exit(0),
        retry=_retry(function.settings),
    )
    signal.signal(signal.SIGTERM, lambda number, frame: replica.stop.set())
    signal.signal(signal.SIGUSR1, lambda number, frame: fall())
    threading.Thread(target=replica.watch, daemon=True).start()
    replica.run()
    return 0


def fall() -> NoReturn:
    """End everything that this process does, all its threads and connections, and begin anew."""
    os.execv(sys.executable, sys.orig_argv)


def _retry(settings: Mapping[str, Any]) -> float:
    try:
        retry = float(settings.get("retry", RETRY))
    except (TypeError, ValueError):
        retry = 0.0
    if retry <= 0:
        learner.fail(
            learner.Failure("WrongSetting", f"retry={json.dumps(settings['retry'])} is no number of seconds")
        )
    return retry


if __name__ == "__main__":
    sys.exit(main())
