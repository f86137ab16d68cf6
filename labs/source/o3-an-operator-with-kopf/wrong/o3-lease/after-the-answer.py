"""Acts from when the answer came, as if the write had happened then."""

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
    if not lease.write(mine):
        return None
    return clock() + DEADLINE


lab.deploy([elect, ring], host="elected", name="ringers")
