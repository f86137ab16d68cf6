def by_name(found):
    """A snapshot by type and name."""
    return {
        kind: {each["cluster_name" if kind == "endpoints" else "name"]: each for each in resources}
        for kind, resources in found.items()
    }


def pushes(before, after):
    """Both worlds side by side first, then the switch, then the old one goes."""
    found = []

    def push(kind, names, source):
        change = {
            name: source.get(name) for name in sorted(names) if before[kind].get(name) != source.get(name)
        }
        if change:
            found.append((kind, change))

    for kind in ("clusters", "endpoints", "listeners", "routes"):
        if kind == "listeners":  # they must not ask for routes that are yet to come
            push("routes", set(after["routes"]) - set(before["routes"]), after["routes"])
        if kind == "routes":
            push(kind, set(after[kind]) & set(before[kind]), after[kind])
        else:
            push(kind, set(after[kind]), after[kind])
    for kind in ("listeners", "routes", "endpoints", "clusters"):
        push(kind, set(before[kind]) - set(after[kind]), after[kind])
    return found


def paced(before, services, slices, routes):
    return pushes(before, by_name(snapshot(services, slices, routes)))


lab.deploy(paced, host="snapshot", name="snapshot", paced=0.3)
