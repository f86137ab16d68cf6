"""The sidecar's first process: gets a certificate, starts Envoy, renews, answers probes, and ends when Envoy does.

Without a certificate Envoy is not started, and without Envoy what is captured is refused: the Pod does not become
ready, and this container's log says why.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from labsupport.mesh.proxy import sds, wire
from labsupport.mesh.proxy.bootstrap import bootstrap, environment
from labsupport.mesh.proxy.certificate import Keeper
from labsupport.mesh.proxy.probes import Server
from labsupport.mesh.proxy.settings import Settings, from_environment

DRAIN = 5.0  # seconds that answers on their way out are waited for at the end
DRAIN_POLL = 0.05  # seconds
END = 5.0  # seconds that Envoy has for ending once it is told to; measured: 4 to 13 ms
# When a listener changes, old connections keep what they came in by until they are drained. By default that takes
# minutes and is the slower the less they are used, so that a policy would hold late just where nobody looks.
LISTENER_DRAIN = ("--drain-strategy", "immediate", "--drain-time-s", "5")
# One worker: a sidecar serves one Pod. No hot restart: its shared memory would clash, and Pods are replaced instead.
# Without the interval a line of an access log may come ten seconds late.
FLAGS = ("--concurrency", "1", "--disable-hot-restart", "-l", "warning", "--file-flush-interval-msec", "200")


def report(text: str) -> None:
    """A line in the container's log."""
    print(f"mesh-proxy: {text}", file=sys.stderr, flush=True)


class Sidecar:
    """Envoy and what keeps it going."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._failed = False
        self._keeper = Keeper(settings, report=report)
        self._server = Server(settings)

    def end(self, number: int, frame: object) -> None:
        """SIGTERM: the kubelet sends it once the application's containers have ended."""
        self._stop.set()
        self._keeper.first.set()

    def run(self) -> int:
        """Until Envoy ends, or is ended; its exit status (128 + the signal that ended it), 0 after SIGTERM."""
        for work in (self._server.run, lambda: self._keeper.run(self._stop)):
            threading.Thread(target=self._guarded, args=(work,), daemon=True).start()
        self._keeper.first.wait()
        if self._stop.is_set():
            return int(self._failed)
        path = f"{self._settings.state}/envoy.json"
        sds.write(path, bootstrap(self._settings))
        words = [self._settings.envoy, "-c", path, *FLAGS, *LISTENER_DRAIN]
        envoy = subprocess.Popen(words, env=os.environ | environment(self._settings))
        threading.Thread(target=self._end_envoy, args=(envoy,), daemon=True).start()
        status = envoy.wait()
        if self._stop.is_set() and status in (0, -signal.SIGTERM, -signal.SIGKILL):
            return int(self._failed)
        report(f"Envoy ended with {status}{inotify_shortage()}")
        return status if status >= 0 else 128 - status

    def _guarded(self, work: Callable[[], None]) -> None:
        """A thread that dies takes everything with it: the kubelet starts it again, which nobody does for a thread."""
        try:
            work()
        except Exception as error:
            report(f"failed: {error!r}")
            self._failed = True
            self._stop.set()
            self._keeper.first.set()

    def _end_envoy(self, envoy: subprocess.Popen[bytes]) -> None:
        self._stop.wait()
        drain(self._settings.admin_port, time.monotonic() + DRAIN)
        envoy.terminate()
        try:
            envoy.wait(END)
        except subprocess.TimeoutExpired:
            envoy.kill()


def inotify_shortage() -> str:
    """Why Envoy aborts on this node, for the log, if it is for want of inotify instances; "" if some are left.

    Each Envoy takes two of those that Linux gives a user, by default 128.
    """
    import ctypes  # only when something is wrong, for each start pays for what is imported

    libc = ctypes.CDLL(None, use_errno=True)
    opened = [libc.inotify_init1(os.O_CLOEXEC) for _ in range(2)]
    for descriptor in opened:
        if descriptor >= 0:
            os.close(descriptor)
    if min(opened) >= 0:
        return ""
    return (
        f": no inotify instance is left to it ({os.strerror(ctypes.get_errno())}). Run fewer Pods with a proxy, or, on "
        "the node's machine, sudo sysctl fs.inotify.max_user_instances=1024"
    )


def drain(admin_port: int, ends: float) -> None:
    """Tell callers to go elsewhere (GOAWAY, Connection: close), and wait until no request is under way, or `ends`."""
    try:
        admin(admin_port, "POST", "/healthcheck/fail")
        while time.monotonic() < ends:
            counted = admin(admin_port, "GET", "/stats?filter=^http%5C..*downstream_rq_active$")
            # Envoy counts this very question on its admin listener.
            lines = [line for line in counted.splitlines() if not line.startswith("http.admin.")]
            if not any(int(line.rpartition(" ")[2]) for line in lines):
                return
            time.sleep(DRAIN_POLL)
    except (OSError, ValueError):
        return  # an Envoy that does not answer has nothing to be waited for


def admin(port: int, method: str, target: str) -> str:
    """What Envoy's admin page answers. Errors: OSError."""
    with wire.connect(("127.0.0.1", port), 1.0) as connection:
        return wire.exchange(connection, method, target, {"Host": "envoy"}).body.decode(errors="replace")


def main(settings: Settings | None = None) -> int:
    """Run the sidecar that `settings` (None: the environment) describe; the exit status."""
    try:
        sidecar = Sidecar(settings or from_environment(os.environ))
    except (ValueError, OSError) as error:
        report(str(error))
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, sidecar.end)
    return sidecar.run()


if __name__ == "__main__":
    sys.exit(main())
