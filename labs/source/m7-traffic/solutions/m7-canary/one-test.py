# Two questions in turn: is that more than chance gives, and is it enough to tell?
from math import sqrt


def decide(weight, stable, canary):
    """How many percent the canary gets next."""
    requests, errors = canary
    if weight < 100:
        expected = requests * (stable[1] + 1) / (stable[0] + 1)
        if errors > expected + 6 * sqrt(expected) + 2:
            return 0
        if requests < (20 if weight == 1 else 250):
            return weight
    return min(100, weight * 6)


lab.deploy(decide, host="canary", name="canary")
