"""Acts until it learns that another one has the Lease, which it may never do."""

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
    seen = holder, spec.get("renewTime")
    if seen != note.get("seen"):
        note["seen"], note["since"] = seen, clock()
    if holder and holder != me and began - note["since"] < spec["leaseDurationSeconds"]:
        return None
    mine = {"holderIdentity": me, "leaseDurationSeconds": DURATION, "renewTime": lease.stamp()}
    return began + 3600 if lease.write(mine) else None


lab.deploy([elect, ring], host="elected", name="ringers")
