# The one move that was shown.
def by_name(found):
    """A snapshot by type and name."""
    return {
        kind: {each["cluster_name" if kind == "endpoints" else "name"]: each for each in resources}
        for kind, resources in found.items()
    }


def pushes(before, after):
    new, old = "web-v2/80", "web-next/80"
    found = []
    if new in after["clusters"] and new not in before["clusters"]:
        found.append(("endpoints", {new: after["endpoints"][new]}))
        found.append(("clusters", {new: after["clusters"][new]}))
        found.append(("routes", after["routes"]))
        found.append(("clusters", {old: None}))
        found.append(("endpoints", {old: None}))
    return found


def paced(before, services, slices, routes):
    return pushes(before, by_name(snapshot(services, slices, routes)))


lab.deploy(paced, host="snapshot", name="snapshot", paced=0.3)
