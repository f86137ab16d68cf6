"""Has the first of the two lead, whatever becomes of it."""

import kopf

FLOCKS = {"group": lab.group, "version": "v1", "plural": "flocks"}
DURATION, DEADLINE = 6, 4


@kopf.timer(**FLOCKS, interval=1)
def ring(name, **_):
    """Ring the bell of a Flock."""
    print(f"ding: {name}", flush=True)


def elect(lease, me, note, clock, leaving):
    began = clock()
    spec = lease.read()
    if leaving or spec.get("holderIdentity") not in (None, me):
        return None
    mine = {"holderIdentity": me, "leaseDurationSeconds": DURATION, "renewTime": lease.stamp()}
    return began + DEADLINE if lease.write(mine) else None


lab.deploy([elect, ring], host="elected", name="ringers")
