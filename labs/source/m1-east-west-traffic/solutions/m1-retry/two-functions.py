# By recursion, with the question "may it be repeated?" in a function of its own.
import random

from labsupport.shop.client import NoAnswer, NotSent


def repeatable(request, outcome):
    """Whether a try that ended so may be made again without harm."""
    if isinstance(outcome, NotSent):
        return True
    if not request.key and request.method != "GET":
        return False
    return isinstance(outcome, NoAnswer) or outcome.status in (502, 503, 504)


def attempt(request, send, clock, left, tries):
    """The outcome of the call with so many seconds and tries left: a response or an exception."""
    began = clock.now()
    try:
        outcome = send(request, min(0.5, left))
    except (NotSent, NoAnswer) as error:
        outcome = error
    wait = 0.4 / 2**tries * random.uniform(0.5, 1.5)
    left -= clock.now() - began + wait
    if tries == 1 or left <= 0 or not repeatable(request, outcome):
        return outcome
    clock.sleep(wait)
    return attempt(request, send, clock, left, tries - 1)


def call(request, send, clock):
    outcome = attempt(request, send, clock, 2.0, 4)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


lab.apply(lab.read("start/aside.yaml"))
lab.deploy(call, host="caller", name="caller")
