"""m5-rotate: the committed prediction, beside what the customers' proxy has counted."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed

from .proxy import certificates, greetings, ready_pod
from .shop import complaints


def rotate(probe: Probe) -> Outcome:
    """m5-rotate: what becomes of open connections; needs a committed prediction."""
    if probe.prediction is None:
        return not_yet(
            "m5-rotate/not-committed",
            "There is no prediction yet.",
            "your predictions",
            "`lab.predict` with this exercise's id and one of the three texts; a wrong one costs nothing.",
        )
    pod = ready_pod(probe, "customers")
    if not pod:
        return passed(
            f"You said: {probe.prediction}. The customers have no Pod, so nothing can be shown.",
            "your prediction",
        )
    had, greeted = certificates(probe, pod), greetings(probe, pod, "inventory")
    lost = "and a request was lost" if complaints(probe) else "and no request was lost"
    return passed(
        f"You said: {probe.prediction}. Since it began, the customers' proxy has had {had} certificate"
        f"{'' if had == 1 else 's'} of 10 s, and has begun {greeted} connection{'' if greeted == 1 else 's'} to the "
        f"two Pods of the inventory, {lost}.",
        f"the log of {pod}, and its proxy's counter ssl.handshake",
    )
