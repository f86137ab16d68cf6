"""Patches each sheep in each run, to be on the safe side."""


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
    namespace, uid = flock["metadata"]["namespace"], flock["metadata"]["uid"]
    wanted = wanted_sheep(flock)
    there = {each.metadata.name: each for each in core.list_namespaced_config_map(namespace).items}
    for name, sheep in wanted.items():
        if name in there:
            core.patch_namespaced_config_map(name, namespace, sheep)
        else:
            core.create_namespaced_config_map(namespace, sheep)
    for name, each in there.items():
        if name not in wanted and any(
            o.uid == uid and o.controller for o in each.metadata.owner_references or []
        ):
            core.delete_namespaced_config_map(name, namespace)


lab.deploy(reconcile, name="shepherd")
