# One test of two rates (a pooled z-test), in steps that grow by a factor.
from math import sqrt


def decide(weight, stable, canary):
    """How many percent the canary gets next."""
    if weight == 100:
        return 100
    requests, errors = canary
    pooled = (stable[1] + errors + 1) / (stable[0] + requests + 100)
    excess = errors - requests * (stable[1] + 1) / (stable[0] + 100)
    if errors > 3 and excess > 4 * sqrt(requests * pooled * (1 - pooled)):
        return 0
    if requests < (20 if weight < 10 else 250):
        return weight
    return {1: 10, 10: 30}.get(weight, 100)


lab.deploy(decide, host="canary", name="canary")
