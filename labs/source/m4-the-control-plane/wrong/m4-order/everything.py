# All of it, each time.
def by_name(found):
    """A snapshot by type and name."""
    return {
        kind: {each["cluster_name" if kind == "endpoints" else "name"]: each for each in resources}
        for kind, resources in found.items()
    }


def pushes(before, after):
    order = ("endpoints", "clusters", "routes", "listeners")
    found = [(kind, dict(after[kind])) for kind in order]
    for kind in reversed(order):
        found.append((kind, {name: None for name in before[kind] if name not in after[kind]}))
    return [each for each in found if each[1]]


def paced(before, services, slices, routes):
    return pushes(before, by_name(snapshot(services, slices, routes)))


lab.deploy(paced, host="snapshot", name="snapshot", paced=0.3)
