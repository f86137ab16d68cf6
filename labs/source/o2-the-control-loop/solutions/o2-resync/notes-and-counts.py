"""Keeps the book, for people to read, and believes the sheep."""


def wanted_of(flock):
    meta = flock["metadata"]
    owner = {"apiVersion": flock["apiVersion"], "kind": "Flock", "name": meta["name"], "uid": meta["uid"]}
    metadata = {"labels": {"flock": meta["name"]}, "ownerReferences": [owner | {"controller": True}]}
    data = {"colour": flock["spec"]["colour"]}
    names = [f"{meta['name']}-{number}" for number in range(flock["spec"]["size"])]
    return {name: {"metadata": metadata | {"name": name}, "data": data} for name in names}


def tend(core, flock):
    meta = flock["metadata"]
    namespace = meta["namespace"]
    there = core.list_namespaced_config_map(namespace, label_selector=f"flock={meta['name']}").items
    missing = wanted_of(flock)
    for each in there:
        missing.pop(each.metadata.name, None)
    while missing:
        core.create_namespaced_config_map(namespace, missing.pop(min(missing)))
    note = f"{len(wanted_of(flock))} sheep at generation {meta['generation']}"
    book = core.read_namespaced_config_map("book", namespace)
    if (book.data or {}).get(meta["name"]) != note:
        core.patch_namespaced_config_map("book", namespace, {"data": {meta["name"]: note}})


lab.deploy(tend, name="shepherd", writes_per_second=5)
