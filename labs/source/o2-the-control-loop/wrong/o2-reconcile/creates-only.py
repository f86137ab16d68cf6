"""Makes and mends, and never takes away."""


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


def is_right(there, sheep):
    owners = [each.uid for each in there.metadata.owner_references or [] if each.controller]
    return (
        (there.data or {}).get("colour") == sheep["data"]["colour"]
        and (there.metadata.labels or {}).get("flock") == sheep["metadata"]["labels"]["flock"]
        and owners == [sheep["metadata"]["ownerReferences"][0]["uid"]]
    )


def reconcile(core, flock):
    namespace = flock["metadata"]["namespace"]
    there = {each.metadata.name: each for each in core.list_namespaced_config_map(namespace).items}
    for name, sheep in wanted_sheep(flock).items():
        if name not in there:
            core.create_namespaced_config_map(namespace, sheep)
        elif not is_right(there[name], sheep):
            core.patch_namespaced_config_map(name, namespace, sheep)


lab.deploy(reconcile, name="shepherd")
