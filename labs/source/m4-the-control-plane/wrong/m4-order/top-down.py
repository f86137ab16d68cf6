# What is new from the top down.
def by_name(found):
    """A snapshot by type and name."""
    return {
        kind: {each["cluster_name" if kind == "endpoints" else "name"]: each for each in resources}
        for kind, resources in found.items()
    }


def pushes(before, after):
    found = []
    for kind in ("listeners", "routes", "clusters", "endpoints"):
        change = {name: each for name, each in after[kind].items() if before[kind].get(name) != each}
        if change:
            found.append((kind, change))
    for kind in ("listeners", "routes", "clusters", "endpoints"):
        gone = {name: None for name in before[kind] if name not in after[kind]}
        if gone:
            found.append((kind, gone))
    return found


def paced(before, services, slices, routes):
    return pushes(before, by_name(snapshot(services, slices, routes)))


lab.deploy(paced, host="snapshot", name="snapshot", paced=0.3)
