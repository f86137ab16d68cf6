"""Counts how many sheep there are, and goes on with the next number: which is taken where one in the middle is gone."""


def wanted_of(flock):
    meta = flock["metadata"]
    owner = {"apiVersion": flock["apiVersion"], "kind": "Flock", "name": meta["name"], "uid": meta["uid"]}
    metadata = {"labels": {"flock": meta["name"]}, "ownerReferences": [owner | {"controller": True}]}
    data = {"colour": flock["spec"]["colour"]}
    names = [f"{meta['name']}-{number}" for number in range(flock["spec"]["size"])]
    return {name: {"metadata": metadata | {"name": name}, "data": data} for name in names}


def tend(core, flock):
    namespace, mine = flock["metadata"]["namespace"], flock["metadata"]["name"]
    count = len(core.list_namespaced_config_map(namespace, label_selector=f"flock={mine}").items)
    for sheep in list(wanted_of(flock).values())[count:]:
        core.create_namespaced_config_map(namespace, sheep)


lab.deploy(tend, name="shepherd", writes_per_second=5)
