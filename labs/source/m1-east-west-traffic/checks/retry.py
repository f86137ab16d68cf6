"""m1-retry: the learner's retries, rehearsed on scripts of failures and then tried with purchases on the cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from random import Random
from statistics import fmean, pstdev
from typing import Any

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.shop.client import Call
from labsupport.shop.rehearsal import Endless, Transcript, rehearse

from .shop import Object, buy, environment_of, own_errors, own_orders

TRIES = 4
PER_TRY = 0.5
TOTAL = 2.0
ENOUGH = 1.2  # seconds after which any wait may be too long for another try
EPSILON = 1e-6
FAST = ("502", "503", "504", "lost", "refused")
FINAL = ("400", "401", "403", "404", "409", "422", "500", "501")


@cache
def _cases() -> tuple[tuple[Call, tuple[str, ...]], ...]:
    """Requests and scripts, the same in each check."""
    dice = Random("m1-retry")
    cases: list[tuple[Call, tuple[str, ...]]] = []

    def get() -> Call:
        return Call("GET", f"/stock/{dice.choice(('tea', 'cups', 'kettles'))}")

    def post(*, keyed: bool) -> Call:
        order = f"{dice.randrange(16**8):08x}"
        return Call(
            "POST", "/charges", {"order": order, "amount": dice.randint(1, 9)}, key=order if keyed else ""
        )

    def failures(count: int) -> tuple[str, ...]:
        return tuple(dice.choice(FAST) for _ in range(count))

    for index in range(48):
        request = post(keyed=True) if index % 3 else get()
        cases.append((request, (*failures(3), "201")))
    for index in range(18):
        request = get() if index % 2 else post(keyed=True)
        cases.append((request, (*failures(index % 3), dice.choice(("200", "201", *FINAL)))))
    for status in FINAL:
        cases.append((post(keyed=True), (status, "201")))
    for word in ("lost", "silent", "502", "503", "504"):
        cases.append((post(keyed=False), (word, "201")))
        cases.append((post(keyed=False), ("refused", word, "201")))
    cases.append((post(keyed=False), ("refused", "refused", "201")))
    for word in ("silent", "refused", "503", "lost"):
        cases.append((post(keyed=True), (word,)))
    for _ in range(6):
        words = tuple(dice.choice(("silent", "503", "lost")) for _ in range(4))
        cases.append((get(), words))
    return tuple(cases)


def rehearse_all(function: Callable[..., object], cases: Iterable[tuple[Call, tuple[str, ...]]]) -> list[Any]:
    """What `function` does in each case; None where it would never have ended."""
    seen: list[Any] = []
    for request, script in cases:
        try:
            seen.append(rehearse(function, request, script))
        except Endless:
            seen.append(None)
    return seen


def retry_offline(probe: Probe) -> Outcome:
    """m1-retry, without the cluster: each rule on scripts of failures that the notebook does not show."""
    with probe.function("call", parameters=3) as call:
        seen = call.drive(
            rehearse_all, _cases(), about="a rehearsal against failures that the notebook does not show"
        )
    for (request, script), transcript in zip(_cases(), seen, strict=True):
        if transcript is None:
            return _broken("m1-retry/too-many-tries", request, script, "it went on trying without an end")
    # A function that returns nothing breaks other rules besides; what it lacks first is said first.
    for judge in (_judge_result, _judge_conduct):
        for transcript in seen:
            if outcome := judge(transcript):
                return outcome
    return _judge_waits([each for each in seen if len(each.tries) == TRIES and each.script[-1] == "201"])


def _broken(rule: str, request: Call, script: Sequence[str], seen: str) -> Outcome:
    """A rehearsal that broke a rule of the exercise."""
    looks = {
        "m1-retry/no-result": "What does your function return, on the way that this request took?",
        "m1-retry/too-many-tries": "Count the tries, also those that raise, and compare before the next one.",
        "m1-retry/repeats-the-unsafe": "Nobody knows whether it was carried out. Which requests can be repeated "
        "without harm, and how do they tell?",
        "m1-retry/repeats-refusals": "Does asking again change such an answer?",
        "m1-retry/long-try": "What do you give to `send` as its timeout, at the first try and at the last?",
        "m1-retry/over-time": "How much is left before each wait and each try? A wait counts as well.",
        "m1-retry/waits-for-nothing": "When is it certain that there will be no further try?",
        "m1-retry/gives-up-early": "Which of these failures may be tried again, and how many tries are there?",
        "m1-retry/hides-the-end": "After the last try the caller needs to hear what became of that one: its answer, or "
        "its exception.",
    }
    kind = f"{request.method} {'with' if request.key else 'without'} a key"
    words = " ".join(script)
    return not_yet(
        rule,
        f"For a {kind} and the other side's answers `{words}`: {seen}.",
        "a rehearsal with a virtual clock",
        f"{looks[rule]} `print(rehearse(call, Call({request.method!r}, {request.path!r}"
        + (", key='a'" if request.key else "")
        + f"), {words!r}))` shows each try.",
    )


def _judge_result(seen: Transcript) -> Outcome | None:
    """Whether a rehearsal ended with an answer or with one of the two exceptions."""
    if seen.tries and not seen.result.startswith("returned"):
        return None
    said = f"it {seen.result} instead of an answer" if seen.tries else "it never called send"
    return _broken("m1-retry/no-result", seen.request, seen.script, said)


def _judge_conduct(seen: Transcript) -> Outcome | None:
    """The first of the other rules that a rehearsal broke."""
    request, tries, last = seen.request, seen.tries, seen.tries[-1].came

    def broken(rule: str, text: str) -> Outcome:
        return _broken(rule, request, seen.script, text)

    harmless = bool(request.key) or request.method == "GET"
    for number, each in enumerate(tries[:-1], 1):
        if each.came.isdigit() and each.came not in FAST:
            return broken("m1-retry/repeats-refusals", f"after the answer {each.came} it tried again")
        if not harmless and each.came != "refused":
            return broken(
                "m1-retry/repeats-the-unsafe",
                f"try {number} ended with `{each.came}`, and it sent the request once more",
            )
    if len(tries) > TRIES:
        return broken("m1-retry/too-many-tries", f"it tried {len(tries)} times")
    if seen.ended > TOTAL + EPSILON:
        return broken("m1-retry/over-time", f"it was over after {seen.ended:.2f} s")
    for number, each in enumerate(tries, 1):
        if each.timeout > PER_TRY + EPSILON:
            return broken("m1-retry/long-try", f"try {number} was given {each.timeout:.3g} s")
    answered = "raised NotSent" if last == "refused" else last if last.isdigit() else "raised NoAnswer"
    if seen.result != answered:
        return broken("m1-retry/hides-the-end", f"its last try ended with `{last}`, and it {seen.result}")
    could_go_on = last == "refused" or (harmless and (last in FAST or not last.isdigit()))
    if seen.ended > tries[-1].ended + EPSILON:
        return broken(
            "m1-retry/waits-for-nothing", f"it ended {seen.ended - tries[-1].ended:.2f} s after its last try"
        )
    if could_go_on and len(tries) < TRIES and seen.ended < ENOUGH:
        return broken(
            "m1-retry/gives-up-early", f"it stopped after {len(tries)} tries and {seen.ended:.2f} s"
        )
    return None


def _judge_waits(full: Sequence[Transcript]) -> Outcome:
    """Whether the waits of rehearsals with all their tries grow, and have chance in them."""
    first, third = [each.waits[0] for each in full], [each.waits[2] for each in full]
    decided = f"the waits in {len(full)} rehearsals with {TRIES} tries each"
    mean = fmean(first)
    if mean < 0.001:
        return not_yet(
            "m1-retry/no-wait",
            f"Between the first two tries {mean * 1000:.1f} ms pass on average: a service that is in trouble gets all "
            "its callers back at once.",
            decided,
            "`clock.sleep` waits, in a rehearsal as on the cluster.",
        )
    if pstdev(first) < 0.05 * mean:
        return not_yet(
            "m1-retry/no-jitter",
            f"The first wait is always about {mean * 1000:.0f} ms. Callers that failed together come back together.",
            decided,
            "What would make two callers wait differently?",
        )
    if fmean(third) < 1.5 * mean:
        return not_yet(
            "m1-retry/no-growth",
            f"On average the first wait takes {mean * 1000:.0f} ms and the third {fmean(third) * 1000:.0f} ms.",
            decided,
            "The longer it fails, the longer it may take: let the number of the try decide about the wait.",
        )
    return passed(
        f"{len(_cases())} rehearsals kept all rules; the waits grew from {mean * 1000:.0f} to "
        f"{fmean(third) * 1000:.0f} ms on average.",
        decided,
    )


PURCHASES = 6


def retry(probe: Probe) -> Outcome:
    """m1-retry, on the cluster: purchases through the learner's orders, while payments fails as it is told to."""
    own_orders(probe)
    payments = probe.get("apps/v1", "Deployment", "payments")
    environment = environment_of(payments)
    if "PATTERN" not in environment:
        return not_yet(
            "m1-retry/payments-well",
            "The Deployment payments has no pattern of failures, so nothing is proven.",
            "Deployment payments, env PATTERN",
            'Run the cell that gives payments a bad day, or `lab.start("M1", at="m1-retry")`.',
        )
    orders, tries = [], []
    for number in range(1, PURCHASES + 1):
        probe.progress(f"purchase {number} of {PURCHASES}")
        order, bought = buy(probe)
        if not bought:
            errors = own_errors(probe)
            return not_yet(
                "m1-retry/purchase-failed",
                f"Purchase {number} of {PURCHASES} failed: {order.get('error') or order}.{errors}",
                "GET http://web/buy/tea",
                '`lab.load("http://web/buy/tea", requests=8)` shows how often; does your function on the cluster agree '
                "with the one in the notebook? Deploy it again after each change.",
            )
        orders.append(order["order"])
        tries.append(int(order["tries"]))
    ledger = _ask(probe, "payments:80", "/ledger")
    if twice := set(ledger["twice"]) & set(orders):
        return not_yet(
            "m1-retry/charged-twice",
            f"{len(twice)} of {PURCHASES} purchases were charged more than once.",
            "GET http://payments/ledger",
            "Is the request that you send again the same one, with its key?",
        )
    return passed(
        f"{PURCHASES} of {PURCHASES} purchases succeeded and none was charged twice; payments was called {sum(tries)} "
        f"times for them, at most {max(tries)} times for one.",
        "GET http://web/buy/tea, and payments' ledger",
    )


def _ask(probe: Probe, service: str, path: str) -> Object:
    """The JSON that a Service of the lab answers. Errors: Rejected where it does not."""
    url = f"/api/v1/namespaces/{probe.namespace}/services/{service}/proxy{path}"
    try:
        return dict(kube.request(probe.api, "GET", url, timeout=probe.left(10.0)))
    except (kube.Refused, ValueError, TypeError) as error:
        raise Rejected(
            not_yet(
                "m1/no-answer",
                f"{service} did not answer GET {path}: {error}",
                f"Service {service.partition(':')[0]}",
                f"`labs kubectl -n {probe.namespace} get pods`: are all of the shop's Pods ready?",
            )
        ) from error
