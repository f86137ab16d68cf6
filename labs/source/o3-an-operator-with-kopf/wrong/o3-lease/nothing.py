"""Does nothing."""

import kopf

FLOCKS = {"group": lab.group, "version": "v1", "plural": "flocks"}
DURATION, DEADLINE = 6, 4


@kopf.timer(**FLOCKS, interval=1)
def ring(name, **_):
    """Ring the bell of a Flock."""
    print(f"ding: {name}", flush=True)


def elect(lease, me, note, clock, leaving):
    return None


lab.deploy([elect, ring], host="elected", name="ringers")
