"""`python3 -m labsupport.mesh control`: the control plane, in its Pod."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.kube.follow import Followed, Follower
from labsupport.mesh import changes, https, look, names
from labsupport.mesh.api import Name, Object
from labsupport.mesh.control import Control
from labsupport.mesh.edge.keeper import Keeper
from labsupport.mesh.identity import endpoint, serving, store, trust
from labsupport.mesh.identity.ca import Authority, Identity, identity_of
from labsupport.mesh.identity.csr import Issued, Keys
from labsupport.mesh.identity.tokens import RefusedRequest
from labsupport.mesh.inject import webhook
from labsupport.mesh.inject.asked import Settings
from labsupport.mesh.inject.registration import Registration
from labsupport.mesh.inject.revision import revision
from labsupport.mesh.serve import ads
from labsupport.mesh.telemetry import collect, pages
from labsupport.mesh.telemetry.places import Reporter
from labsupport.mesh.writer import StatusWriter

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

log = logging.getLogger("mesh")
GRACE = 2.0  # seconds for streams to end; proxies then come to another replica, or again


class ControlPlane:
    """All parts, joined; one to a process."""

    def __init__(self, api: ApiClient, loop: asyncio.AbstractEventLoop) -> None:
        self.api, self.loop = api, loop
        self.authority: Authority = store.load_or_create(api)
        me = Identity(
            names.SYSTEM, names.CONTROL, os.environ.get("POD_NAME", ""), os.environ.get("POD_UID", "")
        )
        self.own = serving.OwnCertificate(lambda: self.authority, me)
        self.statuses = StatusWriter(api, lambda: self.control)
        self.keeper = Keeper(api, lambda: self.control, revision(), self.ensure_trust)
        self.control = Control(loop, self.statuses.say, self.keeper.changed)
        self.control.trust(self.authority.roots_pem)
        self.registration = Registration(api, lambda: self.authority.roots_pem, report=log.info)
        self.trusting: dict[str, str] = {}  # namespace -> the roots that it was given
        self.members: set[str] = set()  # namespaces whose Pods are injected
        self.ready = threading.Event()
        self.stop = threading.Event()

    def told_secret(self, found: Object, gone: bool) -> None:
        """The authority was changed: a rotation of roots."""
        if gone:
            log.warning("Secret %s is gone; what was read of it holds until this process ends", store.SECRET)
            return
        authority = store.authority_from_secret(found)
        if authority != self.authority:
            self.authority = authority
            self.loop.call_soon_threadsafe(self.control.trust, authority.roots_pem)
            self.registration.changed()
            for namespace in sorted(self.members):
                self.try_trust(namespace)
            self.keeper.changed()  # namespaces outside of the mesh may have Gateways

    def told_namespace(self, found: Object, gone: bool) -> None:
        """A namespace may have come into the mesh, or left it."""
        self.control.told(found, gone)
        name, labels = found["metadata"]["name"], found["metadata"].get("labels") or {}
        if gone:
            self.members.discard(name)
            self.trusting.pop(name, None)
        elif labels.get(names.INJECT) == "true" and "deletionTimestamp" not in found["metadata"]:
            self.members.add(name)
            self.try_trust(name)
        else:
            self.members.discard(name)

    def told_trust(self, found: Object, gone: bool) -> None:
        """Somebody may have removed the roots from a namespace; Pods could not start there any more."""
        namespace = found["metadata"]["namespace"]
        if gone and self.trusting.pop(namespace, "") and namespace in self.members:
            self.try_trust(namespace)

    def try_trust(self, namespace: str) -> None:
        """As `ensure_trust`, where one namespace must not keep the others from theirs: it may be on its way out."""
        try:
            self.ensure_trust(namespace)
        except kube.Refused as error:
            log.warning("namespace %s does not have the roots: %s", namespace, error.what)

    def ensure_trust(self, namespace: str) -> None:
        """Put the roots into a namespace, if they are not there."""
        roots = self.authority.roots_pem
        if self.trusting.get(namespace) != roots:
            trust.ensure(self.api, namespace, roots)
            self.trusting[namespace] = roots

    def handlers(self) -> dict[tuple[str, str], https.Handler]:
        """What the HTTPS server answers."""
        settings = Settings(revision=revision())

        def lifetime() -> timedelta:
            return timedelta(seconds=self.control.model.settings.certificate_seconds)

        def ready(request: https.Request) -> https.Response:
            return https.Response.json({"ready": self.ready.is_set()}, 200 if self.ready.is_set() else 503)

        def inject(request: https.Request) -> https.Response:
            try:
                received = json.loads(request.body)
                answer = webhook.review(
                    received, settings, ensure_trust=self.ensure_trust, report=log.warning
                )
            except ValueError as error:
                return https.Response.json({"error": str(error)}, 400)
            return https.Response.json(answer)

        certificates = endpoint.certificates(
            self.api,
            lambda: self.authority,
            keys=Keys(),
            ttl=lifetime,
            told=certified,
        )
        return {endpoint.ROUTE: certificates, ("POST", "/inject"): inject, ("GET", "/readyz"): ready}

    async def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, ended.set)
        told = {"Namespace": self.told_namespace}
        watches = [
            Follower(self.api, Followed(*kind), told.get(kind[1], self.control.told), report=log.info)
            for kind in changes.KINDS
        ]
        roots = Followed("v1", "ConfigMap", name=names.TRUST_CONFIGMAP)
        watches.append(Follower(self.api, roots, self.told_trust, report=log.info))
        secret = Followed("v1", "Secret", names.SYSTEM, store.SECRET)
        watches.append(Follower(self.api, secret, self.told_secret, report=log.info))
        for each in (*watches, *self.keeper.followers()):
            self._thread(each.run, self.stop, name=each.what.kind)
        self._thread(self.statuses.run, self.stop, name="status")
        self._thread(self.registration.run, self.stop, name="registration")
        self._thread(self.keeper.run, self.stop, name="gateways")
        looking = look.server(self.control, self.loop)
        self._thread(looking.serve_forever, name="look")
        measured = pages.metrics_server(lambda: look.metrics(self.control))
        self._thread(measured.serve_forever, name="metrics")
        secure = https.Server(names.HTTPS, serving.https_context(self.own), self.handlers())
        self._thread(secure.run, name="https")
        for each in watches:
            await asyncio.to_thread(each.synced.wait)
        self.control.begin()
        credentials = serving.server_credentials(self.own)
        discovery, _ = ads.server(self.control.hub, caller, f"0.0.0.0:{names.ADS}", credentials)
        collect.serve(discovery, self.control.telemetry, reporter)
        await discovery.start()
        self.ready.set()
        log.info("ready: %s", look.mesh(self.control))
        await ended.wait()
        self.ready.clear()
        self.stop.set()
        self.statuses.say(())
        self.registration.changed()
        self.keeper.changed()
        await discovery.stop(GRACE)
        await asyncio.to_thread(secure.stop)
        looking.shutdown()
        measured.shutdown()

    def _thread(self, target: Callable[..., None], *arguments: Any, name: str) -> None:
        threading.Thread(target=target, args=arguments, name=name, daemon=True).start()


def certified(outcome: Issued | RefusedRequest) -> None:
    """One line in the log for a certificate, or for a refusal."""
    if isinstance(outcome, Issued):
        log.info(
            "certificate: %s for Pod %s until %s",
            outcome.identity.uri,
            outcome.identity.pod,
            outcome.not_after,
        )
    else:
        log.warning("no certificate: %s %s", outcome.status, outcome.text)


def caller(context: Any) -> Name:
    """The Pod that the certificate of a gRPC connection was issued for. ValueError if it is no workload's."""
    return reporter(context).pod


def reporter(context: Any) -> Reporter:
    """The same, with its ServiceAccount."""
    shown = context.auth_context().get("x509_pem_cert") or []
    if not shown:
        raise ValueError("no certificate was shown")
    identity = identity_of(shown[0])
    return Reporter(Name(identity.namespace, identity.pod), identity.service_account)


def main() -> int:
    """Run the control plane."""
    if sys.argv[1:] != ["control"]:
        print("usage: python3 -m labsupport.mesh control", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(levelname).1s %(name)s %(message)s", stream=sys.stdout)

    async def run() -> None:
        await ControlPlane(kube.connect_in_pod(), asyncio.get_running_loop()).run()

    asyncio.run(run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
