"""m7-canary: rollouts that are drawn, and two on the cluster, led by the learner's function."""

from __future__ import annotations

from typing import Any

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.canary import roll_out
from labsupport.errors import LabsError

from .traffic import pods, set_faults

DEPLOYED = "canary"
RUNS, BATCH, SEED = 120, 400, 20261130
USUAL, BAD = 0.005, 0.1
HIGHEST = 30  # percent that a bad canary may have had
# Of RUNS. A function that goes wrong once in a thousand times has four unlucky runs once in 100,000 times; one that
# goes wrong one time in NEAREST or more often has so few of them at most once in 10,000 times.
UNLUCKY, NEAREST = 3, 0.126
# What is drawn: the error rates of stable and canary, how it is to end.
CASES = {
    "good": (USUAL, USUAL, "promoted"),
    "bad": (USUAL, BAD, "withdrawn"),
    "dead": (USUAL, 1.0, "withdrawn"),
    "both": (BAD, BAD, "promoted"),
}


def bad_luck(wrong: int) -> bool:
    """Whether a good function may have led so many of RUNS rollouts wrongly."""
    return wrong <= UNLUCKY


def run_cases(
    decide: Any, cases: dict[str, tuple[float, float, str]], runs: int, batch: int, seed: int
) -> Any:
    """In the learner's process: by case, how rollouts ended, the largest shares, what was said that cannot be."""
    import random

    from labsupport.shop import rollout

    draw = random.Random(seed)

    def asked(weight: int, stable: tuple[int, int], canary: tuple[int, int]) -> Any:
        return decide(weight, (stable[0], stable[1]), (canary[0], canary[1]))

    found = {}
    for name, (stable, canary, _) in cases.items():
        send = rollout.simulated(stable, canary, batch, draw)
        made = [rollout.roll_out(asked, send) for _ in range(runs)]
        found[name] = [(each.ended, each.highest, each.why, len(each.looks)) for each in made]
    # A canary that no request reaches: its Service leads nowhere, or a cache stands before it.
    unseen = rollout.roll_out(asked, lambda weight: (rollout.Counts(batch, 2), rollout.Counts(0, 0)))
    found["unseen"] = [(unseen.ended, unseen.highest, unseen.why, len(unseen.looks))]
    return found


def canary_offline(probe: Probe) -> Outcome:
    """m7-canary: RUNS rollouts each of a good, a bad and a dead canary, and of one that is as bad as what was there."""
    with probe.function("decide", 3) as call:
        found = call.drive(run_cases, CASES, RUNS, BATCH, SEED, about=f"{RUNS * len(CASES)} drawn rollouts")
    where = f"{RUNS} drawn rollouts each of {len(CASES)} kinds, {BATCH} requests before each look"
    for name, ends in found.items():
        if why := next((why for ended, _, why, _ in ends if ended == "unusable"), ""):
            return not_yet(
                "m7-canary/no-share",
                f"`decide`: {why}",
                where,
                f"What it returns is a share in percent ({name}).",
            )
    if found["unseen"][0][1] > 1:
        return not_yet(
            "m7-canary/unseen",
            f"No request reached the canary, and it was given {found['unseen'][0][1]} % of them.",
            where,
            "No errors of no requests: what does one know then?",
        )
    for name, diagnostic, text, look in (
        (
            "good",
            "blames-the-good",
            "canaries that fail as seldom as stable were not promoted",
            "How many errors would chance give the canary if it were as good as stable? How many looks does it take?",
        ),
        (
            "dead",
            "lets-it-on",
            "canaries that answered nothing but errors were not withdrawn",
            "After how many requests does one know that?",
        ),
        (
            "bad",
            "lets-it-on",
            f"canaries that fail one request in ten were not withdrawn before they had more than {HIGHEST} %",
            "How many requests does it take to tell one in ten from one in two hundred, and what share brings them?",
        ),
        (
            "both",
            "blames-the-canary",
            "canaries were not promoted although stable failed as often: something behind both was broken",
            "What would the canary's errors be compared with?",
        ),
    ):
        wanted = CASES[name][2]
        wrong = [
            each for each in found[name] if each[0] != wanted or (wanted == "withdrawn" and each[1] > HIGHEST)
        ]
        if not bad_luck(len(wrong)):
            ends = ", ".join(sorted({f"{ended} at {highest} %" for ended, highest, _, _ in wrong})[:3])
            return not_yet(f"m7-canary/{diagnostic}", f"{len(wrong)} of {RUNS} {text} ({ends}).", where, look)
    looks = sorted(each[3] for each in found["good"])[RUNS // 2]
    return passed(f"Good ones are promoted after {looks} looks; bad ones are withdrawn in time.", where)


def canary(probe: Probe) -> Outcome:
    """m7-canary: one rollout of a good canary, one of a bad one, with real requests."""
    deployed = probe.deployed(DEPLOYED)
    if deployed is None:
        return not_yet(
            "m7-canary/not-deployed",
            "Your function does not lead rollouts yet.",
            f"deployed under the name {DEPLOYED}",
            "Run the cell with `lab.deploy`.",
        )
    if not deployed:
        return not_yet(
            "m7-canary/does-not-run",
            f"Your canary does not run: {deployed.problem}",
            f"deployed under the name {DEPLOYED}",
            "Run the cell with `lab.deploy` again; it says why.",
        )
    told = []
    for rate, wanted in ((BAD, "withdrawn"), (0.0, "promoted")):
        try:
            for pod in pods(probe, "app=web,version=2"):
                set_faults(probe, pod, "web", error_rate=rate)
            made = roll_out(probe.api, probe.namespace)
        except kube.Unreachable:
            raise
        except LabsError as error:
            return not_yet(
                "m7-canary/no-rollout",
                error.what,
                f"POST /rollout of Service {DEPLOYED}",
                "`lab.deploy(...).errors()` tells what your function did, `.logs()` what it was asked.",
            )
        finally:
            for pod in pods(probe, "app=web,version=2"):
                set_faults(probe, pod, "web", error_rate=0.0)
        told.append(f"{rate:.0%} of errors: {made}")
        if made.ended != wanted or (wanted == "withdrawn" and made.highest > HIGHEST):
            return not_yet(
                "m7-canary/live",
                f"With {rate:.0%} of the canary's requests failing, the rollout was {made}.",
                "a rollout with real requests",
                "Is the function that was deployed the one that the notebook has now? Deploy it again.",
            )
    return passed("; ".join(told), "two rollouts with real requests")
