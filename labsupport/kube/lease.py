"""Which of several replicas leads: a Lease (coordination.k8s.io/v1), as Kubernetes' own controllers use it.

The rules are those of client-go's leaderelection (https://pkg.go.dev/k8s.io/client-go/tools/leaderelection): who holds
the Lease renews it; who does not watches when it was last renewed *by its own clock*, and takes it when that has not
happened for the Lease's duration. So clocks may differ, but must run at the same speed. A holder that could not renew
stops leading well before another may begin; between its last look at the clock and a write that is on its way a moment
remains, so writes must not harm if two make them.

The official client has an election of its own (kubernetes.leaderelection). It goes by the wall clock, neither ends when
it is asked to nor gives the Lease up, and does not say whether it still leads, which each write here asks first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from labsupport.errors import LabsError
from labsupport.kube.client import Refused, request

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

DURATION, DEADLINE, RETRY = 15.0, 10.0, 2.0  # seconds; client-go's defaults
NOT_FOUND, CONFLICT = 404, 409


class Election:
    """One candidate for one Lease. `step` tries once; `run` goes on trying, and renews."""

    def __init__(
        self,
        api: ApiClient,
        namespace: str,
        name: str,
        identity: str,
        *,
        duration: float = DURATION,
        deadline: float = DEADLINE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`identity` must be another one for each replica; `duration` and `deadline` are in seconds."""
        if not deadline < duration:
            raise ValueError("a holder must stop before others may begin: deadline < duration")
        self._api, self._clock = api, clock
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._namespace, self._name, self.identity = namespace, name, identity
        self._duration, self._deadline = duration, deadline
        self._renewed: float | None = None  # when this one last renewed it, by our clock
        self._seen: tuple[str, str] = ("", "")  # whose it is and when it was renewed, as it says
        self._since = 0.0  # when that was first seen, by our clock

    def leads(self) -> bool:
        """Whether this one may act now. Any thread may ask."""
        renewed = self._renewed
        return renewed is not None and self._clock() - renewed < self._deadline

    def step(self) -> bool:
        """Take or renew the Lease if that may be done; whether this one leads. Errors: Refused, Unreachable."""
        began = self._clock()
        found = self._read()
        if found is None:
            return self._write("POST", self._path, self._lease({}, began, 0), began)
        spec = found.get("spec") or {}
        holder = str(spec.get("holderIdentity") or "")
        said = (holder, str(spec.get("renewTime") or ""))
        if said != self._seen:
            # Counted from after the read: it may have been renewed while the request was on its way.
            self._seen, self._since = said, self._clock()
        lasts = float(spec.get("leaseDurationSeconds") or self._duration)
        if holder not in ("", self.identity) and began - self._since < lasts:
            self._renewed = None
            return False
        changes = int(spec.get("leaseTransitions") or 0) + (holder != self.identity)
        body = self._lease(found, began, changes)
        return self._write("PUT", f"{self._path}/{self._name}", body, began)

    def _read(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = request(self._api, "GET", f"{self._path}/{self._name}")
        except Refused as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return found

    def _lease(self, found: dict[str, Any], began: float, changes: int) -> dict[str, Any]:
        """The Lease as this one wants it. With the version of `found`, so that one of two that try at once loses."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = dict(found.get("spec") or {})
        if spec.get("holderIdentity") != self.identity:
            spec["acquireTime"] = now
        spec |= {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(self._duration),
            "leaseTransitions": changes,
            "renewTime": now,
        }
        metadata = found.get("metadata") or {"name": self._name, "namespace": self._namespace}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}

    def _write(self, method: str, path: str, body: dict[str, Any], began: float) -> bool:
        try:
            request(self._api, method, path, body=body)
        except Refused as error:
            if error.status != CONFLICT:
                raise
            self._renewed = None  # somebody else was quicker
            return False
        self._renewed = began
        return True

    def release(self) -> None:
        """Give it up, so that another need not wait. Errors: Refused, Unreachable."""
        if not self.leads():
            return
        self._renewed = None
        found = self._read()
        if found and (found.get("spec") or {}).get("holderIdentity") == self.identity:
            found["spec"] = {**found["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
            try:
                request(self._api, "PUT", f"{self._path}/{self._name}", body=found)
            except Refused as error:
                if error.status != CONFLICT:
                    raise

    def run(
        self,
        stop: threading.Event,
        *,
        won: Callable[[], None] = lambda: None,
        lost: Callable[[], None] = lambda: None,
        report: Callable[[str], None] = lambda text: None,
        retry: float = RETRY,
    ) -> None:
        """Try every `retry` seconds until `stop`. `won` and `lost` are called in this thread; `lost` once, at the end.

        Who has lost is done: what it was about to do is another one's now. Begin with a new one.
        """
        led = False
        while not stop.is_set():
            try:
                self.step()
            except LabsError as error:
                report(f"the Lease {self._namespace}/{self._name}: {error.what}")
            if led and not self.leads():
                lost()
                return
            if not led and self.leads():
                led = True
                won()
            stop.wait(retry)
        try:
            self.release()
        except LabsError as error:
            report(f"the Lease {self._namespace}/{self._name} was not given up: {error.what}")
