# A canary must have no errors at all.
NEXT = {1: 10, 10: 30, 30: 60, 60: 100, 100: 100}


def decide(weight, stable, canary):
    """How many percent the canary gets next."""
    requests, errors = canary
    if errors:
        return 0
    if requests < (20 if weight == 1 else 200):
        return weight
    return NEXT[weight]


lab.deploy(decide, host="canary", name="canary")
