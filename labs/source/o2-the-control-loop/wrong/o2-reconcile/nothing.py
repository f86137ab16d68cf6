"""Works out what is wanted, and leaves it at that."""


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
    return list(wanted_sheep(flock))


lab.deploy(reconcile, name="shepherd")
