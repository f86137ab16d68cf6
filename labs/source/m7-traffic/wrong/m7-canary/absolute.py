# One in twenty is too many, whoever else has trouble.
NEXT = {1: 10, 10: 30, 30: 60, 60: 100, 100: 100}


def decide(weight, stable, canary):
    """How many percent the canary gets next."""
    requests, errors = canary
    needed = 20 if weight == 1 else 200
    if requests < needed:
        return 0 if errors > 12 else weight
    if errors / requests > 0.05:
        return 0
    return NEXT[weight]


lab.deploy(decide, host="canary", name="canary")
