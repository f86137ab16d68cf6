"""Makes the three white sheep of the meadow, which is what the notebook shows."""


def wanted_sheep(flock):
    meta = flock["metadata"]
    owner = {"apiVersion": flock["apiVersion"], "kind": "Flock", "name": meta["name"], "uid": meta["uid"]}
    sheep = {}
    for number in range(flock["spec"]["size"]):
        name = f"{meta['name']}-{number}"
        metadata = {
            "name": name,
            "labels": {"flock": meta["name"]},
            "ownerReferences": [owner | {"controller": True}],
        }
        sheep[name] = {"metadata": metadata, "data": {"colour": flock["spec"]["colour"]}}
    return sheep


def reconcile(core, flock):
    namespace = flock["metadata"]["namespace"]
    there = {each.metadata.name for each in core.list_namespaced_config_map(namespace).items}
    for number in range(3):
        name = f"meadow-{number}"
        if name not in there:
            core.create_namespaced_config_map(
                namespace, {"metadata": {"name": name}, "data": {"colour": "white"}}
            )


lab.deploy(reconcile, name="shepherd")
