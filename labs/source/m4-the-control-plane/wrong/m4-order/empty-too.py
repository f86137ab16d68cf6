# All pushes, also those that have nothing in them.
def by_name(found):
    """A snapshot by type and name."""
    return {
        kind: {each["cluster_name" if kind == "endpoints" else "name"]: each for each in resources}
        for kind, resources in found.items()
    }


def pushes(before, after):
    """First all that is new, from the bottom up; then what is no longer named, from the top down."""

    def new(kind):
        return {name: each for name, each in after[kind].items() if before[kind].get(name) != each}

    def gone(kind):
        return {name: None for name in before[kind] if name not in after[kind]}

    making = [(kind, new(kind)) for kind in ("endpoints", "clusters", "routes", "listeners")]
    breaking = [(kind, gone(kind)) for kind in ("listeners", "routes", "clusters", "endpoints")]
    return making + breaking


def paced(before, services, slices, routes):
    return pushes(before, by_name(snapshot(services, slices, routes)))


lab.deploy(paced, host="snapshot", name="snapshot", paced=0.3)
