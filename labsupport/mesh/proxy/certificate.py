"""This Pod's certificate: a key made here, a request to the control plane, files for Envoy, all of it again in time.

The key leaves this container in no form: it goes from openssl through a pipe into a file in memory that Envoy reads.
"""

from __future__ import annotations

import json
import random
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from labsupport.mesh import names
from labsupport.mesh.proxy import sds, wire
from labsupport.mesh.proxy.settings import Settings

RENEW = (
    0.5,
    0.7,
)  # of a certificate's life: at random within this, so that Pods made together do not ask together
FIRST_RETRY, LONGEST_RETRY = 0.2, 30.0  # seconds between attempts: doubled each time, and shortened at random
LOOK = 5.0  # seconds between looks at the roots' file and the clock (a laptop's sleep is not counted by any timer)
TIMEOUT = 10.0  # seconds for each step of an exchange
OPENSSL = ("openssl", "req", "-config", "/dev/null", "-new", "-sha256", "-subj", "/")
OPENSSL_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "-")
BEGIN_REQUEST = "-----BEGIN CERTIFICATE REQUEST-----"


class NotGiven(Exception):
    """There is no new certificate, and why."""


@dataclass(frozen=True)
class Certificate:
    """What the control plane gave: PEM texts, and until when (seconds since 1970)."""

    key: str
    chain: str
    roots: str
    not_after: float


def key_and_request(uri: str) -> tuple[str, str]:
    """A new key, and a certificate request for `uri` signed by it; PEM texts. Errors: NotGiven, OSError."""
    names_it = ("-addext", f"subjectAltName=URI:{uri}")
    done = subprocess.run([*OPENSSL, *OPENSSL_KEY, *names_it], capture_output=True, text=True)
    key, begin, rest = done.stdout.partition(BEGIN_REQUEST)
    if done.returncode or not begin:
        raise NotGiven(f"openssl made no key: {done.stderr.strip()[-300:]}")
    return key, begin + rest


def ask(settings: Settings, roots: str) -> Certificate:
    """One certificate from the control plane, which must have one of `roots` itself.

    Errors: NotGiven with what the control plane says; OSError (ssl.SSLError too) where it is not reached.
    """
    if names_no_root(roots):
        raise NotGiven(f"there is no root certificate in {settings.roots_file} to check the control plane by")
    key, csr = key_and_request(settings.uri)
    with open(settings.token_file, encoding="ascii") as file:
        token = file.read().strip()  # each time: the kubelet renews it
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=roots)
    headers = {
        "Host": settings.control,
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
    }
    plain = wire.connect((settings.control, settings.https_port), TIMEOUT, settings.mark)
    with plain, context.wrap_socket(plain, server_hostname=settings.control) as secured:
        answer = wire.exchange(secured, "POST", "/certificates", headers, json.dumps({"csr": csr}).encode())
    try:
        content = json.loads(answer.body)
        if answer.status != 200:
            raise NotGiven(f"{content['error']} ({answer.status})")
        until = datetime.fromisoformat(content["not_after"]).timestamp()
        return Certificate(key, content["chain"], content["roots"], until)
    except (ValueError, KeyError, TypeError) as error:
        raise NotGiven(f"the control plane's answer ({answer.status}) cannot be read: {error!r}") from error


class Keeper:
    """Keeps Envoy's two files new. `run` is for a thread of its own."""

    def __init__(
        self,
        settings: Settings,
        *,
        report: Callable[[str], None],
        asked: Callable[[Settings, str], Certificate] = ask,
        clock: Callable[[], float] = time.time,
        look: float = LOOK,
    ) -> None:
        self.first = threading.Event()  # set once both files are there
        self._settings, self._report, self._asked = settings, report, asked
        self._clock, self._look = clock, look
        self._mounted = ""  # the roots' file as it was read last
        self._roots = ""  # the newest known: of that file or of an answer, whichever changed last

    def run(self, stop: threading.Event) -> None:
        """Ask, and ask again in time, until `stop`."""
        due, retry, failures = self._clock(), FIRST_RETRY, ""
        while not stop.is_set():
            if self._changed() or self._clock() >= due:
                try:
                    given = self._asked(self._settings, self._roots)
                    self._write(given)
                except (OSError, ValueError, NotGiven) as error:
                    due = self._clock() + retry * random.uniform(0.5, 1.0)
                    retry = min(2 * retry, LONGEST_RETRY)
                    if str(error) != failures:  # the same trouble is one line, however long it lasts
                        failures = str(error)
                        self._report(f"no certificate yet: {self._explained(error)}")
                else:
                    due, retry, failures = self._next(given), FIRST_RETRY, ""
                    self._report(
                        f"certificate of {self._settings.uri}, renewed in {due - self._clock():.0f} s"
                    )
                    self.first.set()
            stop.wait(max(0.0, min(due - self._clock(), self._look)))

    def _next(self, given: Certificate) -> float:
        now = self._clock()
        return now + max(1.0, (given.not_after - now) * random.uniform(*RENEW))

    def _changed(self) -> bool:
        """Whether the roots' file is another one than before. What cannot be read has not changed."""
        try:
            with open(self._settings.roots_file, encoding="ascii") as file:
                mounted = file.read()
        except (OSError, ValueError):
            return False
        if mounted == self._mounted or names_no_root(mounted):
            return False
        self._mounted, known = mounted, self._roots
        self._roots = mounted
        return mounted != known

    def _write(self, given: Certificate) -> None:
        self._roots = given.roots
        sds.write(self._settings.control_trust_file, sds.control_trust(given.roots))
        sds.write(self._settings.identity_file, sds.identity(given.chain, given.key))

    def _explained(self, error: Exception) -> str:
        where = f"{self._settings.control}:{self._settings.https_port}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"{where} is not trusted by ConfigMap {names.TRUST_CONFIGMAP}: {error.verify_message}"
        return f"{where}: {error}" if isinstance(error, OSError) else str(error)


def names_no_root(text: str) -> bool:
    """Whether `text` has no certificate: the file of a ConfigMap that is being made."""
    return "-----BEGIN CERTIFICATE-----" not in text
