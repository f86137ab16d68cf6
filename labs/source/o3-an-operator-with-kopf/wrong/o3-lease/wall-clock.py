"""Compares the time in the Lease with its own wall clock."""

from datetime import datetime

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
    holder = spec.get("holderIdentity")
    if leaving:
        if holder == me:
            lease.write({"holderIdentity": ""})
        return None
    if holder and holder != me:
        age = datetime.fromisoformat(lease.stamp()) - datetime.fromisoformat(spec["renewTime"])
        if age.total_seconds() < spec["leaseDurationSeconds"]:
            return None
    mine = {"holderIdentity": me, "leaseDurationSeconds": DURATION, "renewTime": lease.stamp()}
    return began + DEADLINE if lease.write(mine) else None


lab.deploy([elect, ring], host="elected", name="ringers")
