# It returns nothing.
def by_name(found):
    """A snapshot by type and name."""
    return {
        kind: {each["cluster_name" if kind == "endpoints" else "name"]: each for each in resources}
        for kind, resources in found.items()
    }


def pushes(before, after):
    print(len(before), len(after))


def paced(before, services, slices, routes):
    return pushes(before, by_name(snapshot(services, slices, routes)))


lab.deploy(paced, host="snapshot", name="snapshot", paced=0.3)
