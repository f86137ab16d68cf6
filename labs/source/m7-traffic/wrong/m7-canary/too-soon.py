# As soon as nothing speaks against it, more.
NEXT = {1: 20, 20: 60, 60: 100, 100: 100}


def decide(weight, stable, canary):
    """How many percent the canary gets next."""
    if weight == 100:
        return 100
    requests, errors = canary
    expected = requests * (stable[1] + 1) / (stable[0] + 200)
    if errors > expected + 4 * expected**0.5 + 3:
        return 0
    if requests == 0:
        return weight
    return NEXT[weight]


lab.deploy(decide, host="canary", name="canary")
