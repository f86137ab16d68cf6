"""Makes the whole flock anew as soon as one sheep is not as it should be."""


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


def facts(each):
    owners = [own.uid for own in each.metadata.owner_references or [] if own.controller]
    return (each.data or {}).get("colour"), (each.metadata.labels or {}).get("flock"), owners


def reconcile(core, flock):
    namespace, name, uid = (flock["metadata"][key] for key in ("namespace", "name", "uid"))
    wanted = wanted_sheep(flock)
    found = core.list_namespaced_config_map(namespace).items
    mine = [each for each in found if each.metadata.name in wanted or uid in facts(each)[2]]
    right = (flock["spec"]["colour"], name, [uid])
    if {each.metadata.name for each in mine} == set(wanted) and all(facts(each) == right for each in mine):
        return
    for each in mine:
        core.delete_namespaced_config_map(each.metadata.name, namespace)
    for sheep in wanted.values():
        core.create_namespaced_config_map(namespace, sheep)


lab.deploy(reconcile, name="shepherd")
