"""Takes every ConfigMap with its label for one of its own."""


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
    namespace, mine = flock["metadata"]["namespace"], flock["metadata"]["name"]
    wanted = wanted_sheep(flock)
    there = {each.metadata.name: each for each in core.list_namespaced_config_map(namespace).items}
    for name, sheep in wanted.items():
        if name not in there:
            core.create_namespaced_config_map(namespace, sheep)
        elif not is_right(there[name], sheep):
            core.patch_namespaced_config_map(name, namespace, sheep)
    for name, each in there.items():
        if name not in wanted and (each.metadata.labels or {}).get("flock") == mine:
            core.delete_namespaced_config_map(name, namespace)


lab.deploy(reconcile, name="shepherd")
