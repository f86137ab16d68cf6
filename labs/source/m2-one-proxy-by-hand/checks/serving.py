"""The proxy that serves, and paths to send through it: what the checks of several exercises begin with."""

from __future__ import annotations

import random

from labsupport.course.exercise import Probe, Rejected, not_yet
from labsupport.course.lessons.proxy import Proxy, Running

SETTLE = 8.0  # seconds for a Pod that was made anew
WAIT = 3.0  # seconds for an answer; Envoy gives one within milliseconds, or holds the request for ever


def serving(probe: Probe, exercise: str) -> tuple[Proxy, Running]:
    """The proxy and its Pod. Errors: Rejected if Envoy does not serve."""
    proxy = Proxy(probe.world)
    running = proxy.running(probe.left(SETTLE))
    if running.serving:
        return proxy, running
    if not running.pod:
        raise Rejected(
            not_yet(
                f"{exercise}/no-proxy",
                running.why,
                f"Deployment proxy in {probe.namespace}",
                f'`lab.start("m2", at="{exercise}")` brings it back.',
            )
        )
    raise Rejected(
        not_yet(
            f"{exercise}/does-not-start",
            running.why,
            f"the log of the Pod {running.pod}",
            "Envoy's words name the place in the file, counted from 0: `routes[1]` is the second route.",
        )
    )


def unseen_paths(seed: str, count: int) -> list[str]:
    """Paths that stand nowhere in the notebook, the same ones at each call."""
    chosen = random.Random(seed)
    words = ["tea", "cups", "offers", "basket", "about", "press", "jobs", "help"]
    return [f"/{chosen.choice(words)}/{chosen.randrange(100, 1000)}" for _ in range(count)]
