# The three answers are computed, and none is given.
def decide(weight, stable, canary):
    """How many percent the canary gets next."""
    rate = canary[1] / max(canary[0], 1)
    if rate > 0.05:
        print("stop")
    elif weight < 100:
        print("more")


lab.deploy(decide, host="canary", name="canary")
