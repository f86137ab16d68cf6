"""The operator's process: wait for the Lease, act while it is held, end when it is lost.

Ending is what makes "at most one acts" simple: whatever was under way dies with the process, and the kubelet starts one
that waits like any other.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import kopf

from labsupport import kube
from labsupport.kube.lease import Election
from labsupport.operators.quorum_operator import handlers, metrics, mortality, names, signer
from labsupport.operators.quorum_operator.events import Events
from labsupport.operators.quorum_operator.kubeapi import KubeApi
from labsupport.operators.quorum_operator.members import Members

log = logging.getLogger(__name__)


def main() -> int:
    """Run until SIGTERM, or until the Lease is lost; the exit status."""
    # Otherwise it has a line for each event of each object.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    client = kube.connect_in_pod()
    identity = os.environ.get("POD_NAME") or names.OPERATOR
    election = Election(client, names.SYSTEM, names.OPERATOR, identity)
    counted, stop, won = metrics.Metrics(), threading.Event(), threading.Event()
    lost = threading.Event()
    serving = metrics.server(counted, lambda: not lost.is_set(), names.OBSERVE)
    threading.Thread(target=serving.serve_forever, daemon=True).start()

    def end(*_: object) -> None:
        stop.set()
        won.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, end)

    def lose() -> None:
        log.error("the Lease is lost: this replica ends")
        lost.set()
        end()

    elected = threading.Thread(
        target=lambda: election.run(stop, won=won.set, lost=lose, report=log.warning), daemon=True
    )
    elected.start()
    log.info("waiting for the Lease %s/%s", names.SYSTEM, names.OPERATOR)
    won.wait()
    if not stop.is_set():
        log.info("%s leads", identity)
        counted.leads = True
        dies = mortality.from_environment()
        api = KubeApi(client, election.leads, counted.writing("api", dies))
        lead(api, counted.writing("member", dies), counted, stop)
    stop.set()
    elected.join(timeout=5.0)
    return 1 if lost.is_set() else 0


def lead(
    api: KubeApi, written: Callable[[str], None], counted: metrics.Metrics, stop: threading.Event
) -> None:
    """Handle Quorums until `stop`."""
    authority = signer.load_or_create(api, datetime.now(UTC))
    members = Members(
        authority.certificate, lambda quorum: signer.tokens(authority, quorum)[1], written=written
    )
    operator = handlers.Operator(api, members, authority, counted, events=Events(api))
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(kopf.login_with_service_account)
    handlers.register(registry, operator)
    # kopf takes SIGTERM for itself, and at its end waits for whoever waits for its flag: somebody must raise it. The
    # Lease is given up at that moment too, so that the other replica need not wait until it has run out.
    kopf.on.cleanup(registry=registry)(lambda **_: stop.set())
    kopf.run(registry=registry, standalone=True, clusterwide=True, stop_flag=stop)
