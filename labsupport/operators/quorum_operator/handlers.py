"""kopf's handlers. They are thin: what is decided is in `plan.py`, what is done in `reconcile.py`.

kopf watches, keeps one task for each Quorum, puts its finalizer on and calls again what failed. Electing a
leader is not its part: its peering is no Lease. `operator.py` runs it only while this replica holds the Lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import kopf

from labsupport.errors import LabsError
from labsupport.operators.quorum_operator import copies, kinds, names, signer
from labsupport.operators.quorum_operator.certificates import Authority
from labsupport.operators.quorum_operator.events import Events
from labsupport.operators.quorum_operator.kinds import Api, Conflict, Kind
from labsupport.operators.quorum_operator.metrics import Metrics
from labsupport.operators.quorum_operator.observe import Members
from labsupport.operators.quorum_operator.reconcile import Round, reconcile

log = logging.getLogger(__name__)
SOON, IDLE, COPYING = 0.3, 1.0, 1.0  # seconds until the next round: work is due, none is, a Job runs
FAILED = 5.0  # seconds until what the API server refused is tried again


@dataclass
class Operator:
    """What the handlers need; one for the process."""

    api: Api
    members: Members
    authority: Authority
    metrics: Metrics
    wake: dict[tuple[str, str], asyncio.Event] = field(default_factory=dict)  # by namespace and name
    events: Events | None = None

    def round(self, namespace: str, name: str) -> Round | None:
        """One round of a Quorum; None where it is gone. In any thread. Errors: LabsError, Conflict."""
        found = self.api.get(kinds.QUORUMS, namespace, name)
        if found is None:
            return None
        found = {"apiVersion": names.API_VERSION, "kind": "Quorum", **found}
        authority = self.authority
        done = reconcile(
            self.api,
            self.members,
            found,
            authority.certificate,
            lambda quorum: signer.tokens(authority, quorum),
            time.time,
        )
        place = f"{namespace}/{name}"
        self.metrics.count("reconciles_total", place, "trouble" if done.trouble else "done")
        self.metrics.saw(done.seen, done.plan)
        if done.plan.step and done.plan.step.action and not done.trouble:
            self.metrics.count("actions_total", place, type(done.plan.step.action).__name__)
        if self.events:
            self.events.tell(found, done)
        return done

    async def follow(self, namespace: str, name: str, stopped: Any) -> None:
        """Round after round, sooner when something has changed."""
        changed = self.wake.setdefault((namespace, name), asyncio.Event())
        while not stopped:
            changed.clear()
            delay = IDLE
            try:
                done = await asyncio.to_thread(self.round, namespace, name)
                if done is None:
                    return
                if done.trouble:
                    log.info("%s/%s: %s", namespace, name, done.trouble)
                elif done.plan.step and done.plan.step.action:
                    delay = SOON
            except Conflict:
                delay = SOON
            except LabsError as error:
                self.metrics.count("reconciles_total", f"{namespace}/{name}", "error")
                log.warning("%s/%s: %s", namespace, name, error.what)
                delay = FAILED
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await changed.wait()

    def changed(self, namespace: str, name: str) -> None:
        """Something of a Quorum's is another now. In kopf's loop."""
        if event := self.wake.get((namespace, name)):
            event.set()


def register(registry: kopf.OperatorRegistry, operator: Operator) -> None:
    """Hang the handlers into `registry`."""
    quorums = (names.GROUP, names.VERSION, "quorums")

    @kopf.on.startup(registry=registry)
    def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.persistence.finalizer = names.FINALIZER
        settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=names.GROUP)
        settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(
            prefix=names.GROUP, key="last-handled-configuration"
        )
        settings.posting.enabled = False  # Events are told by `events.py`, in the operator's own words
        settings.scanning.disabled = (
            True  # kinds do not come and go while it runs: no right to list definitions
        )
        settings.watching.server_timeout = 300

    @kopf.daemon(*quorums, registry=registry, cancellation_timeout=10.0)
    async def follow(namespace: str | None, name: str, stopped: kopf.DaemonStopped, **_: Any) -> None:
        await operator.follow(namespace or "", name, stopped)

    @kopf.on.delete(*quorums, registry=registry)
    async def delete(namespace: str | None, name: str, **_: Any) -> None:
        done = await asyncio.to_thread(operator.round, namespace or "", name)
        if done is not None and not done.plan.finished:
            raise kopf.TemporaryError(f"{', '.join(done.seen.left)} is still there", delay=SOON)
        operator.metrics.gone(f"{namespace}/{name}")
        operator.wake.pop((namespace or "", name), None)

    @kopf.on.event("v1", "pods", labels={names.QUORUM: kopf.PRESENT}, registry=registry)
    def pod(namespace: str | None, labels: kopf.Labels, **_: Any) -> None:
        operator.changed(namespace or "", labels[names.QUORUM])

    @kopf.on.event(*quorums, registry=registry)
    def edited(namespace: str | None, name: str, **_: Any) -> None:
        operator.changed(namespace or "", name)

    for kind in (kinds.BACKUPS, kinds.RESTORES):
        _copies(registry, operator, kind)

    @kopf.on.event("certificates.k8s.io", "v1", "certificatesigningrequests", registry=registry)
    async def certify(body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002 (kopf's name)
        if type != "DELETED" and not signer.settled(dict(body)):
            await _certify(operator, dict(body))


def _copies(registry: kopf.OperatorRegistry, operator: Operator, kind: Kind) -> None:
    @kopf.timer(names.GROUP, names.VERSION, kind.plural, interval=COPYING, registry=registry, when=_open)
    async def copy(namespace: str | None, name: str, **_: Any) -> None:
        found = await asyncio.to_thread(operator.api.get, kind, namespace or "", name)
        if found is not None:
            with contextlib.suppress(Conflict):
                await asyncio.to_thread(copies.reconcile, operator.api, kind, found)
                operator.changed(namespace or "", found["spec"]["quorum"])


def _open(status: Any, **_: Any) -> bool:
    """Whether a back-up or restore is to be looked at."""
    return (status or {}).get("phase") not in (copies.COMPLETED, copies.FAILED)


async def _certify(operator: Operator, request: dict[str, Any]) -> None:
    now: Callable[[], datetime] = lambda: datetime.now(UTC)  # noqa: E731
    with contextlib.suppress(Conflict):  # the other replica, or an administrator, was quicker
        said = await asyncio.to_thread(signer.answer, operator.api, operator.authority, request, now)
        if said:
            log.info("%s", said)
            outcome = "denied" if "denied" in said else "signed"
            operator.metrics.count("certificates_total", "/", outcome)
