"""Notes when the Lease is free, and what it says, in place of since when it says that."""

DURATION, DEADLINE = 6, 4


@kopf.timer(**FLOCKS, interval=1)
def ring(**_):
    pass


def elect(lease, me, note, clock, leaving):
    asked = clock()
    spec = lease.read()
    if spec.get("holderIdentity") != me and (leaving or not waited(spec, note, clock)):
        return None
    change = {"holderIdentity": "" if leaving else me, "renewTime": lease.stamp()}
    if not lease.write(change | {"leaseDurationSeconds": DURATION}) or leaving:
        return None
    return asked + DEADLINE


def waited(spec, note, clock):
    """Whether nobody holds the Lease, or its holder has not renewed it for as long as it has promised."""
    if not spec.get("holderIdentity"):
        return True
    if note.get("spec") != spec:
        note.update(spec=spec, free=clock() + spec["leaseDurationSeconds"])
    return clock() >= note["free"]


lab.deploy([elect, ring], host="elected", name="ringers")
