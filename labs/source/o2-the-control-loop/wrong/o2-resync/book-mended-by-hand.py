"""Empties the book by hand, and deploys the same shepherd again: all is well until the next kill."""

from kubernetes import client


def wanted_of(flock):
    meta = flock["metadata"]
    owner = {"apiVersion": flock["apiVersion"], "kind": "Flock", "name": meta["name"], "uid": meta["uid"]}
    metadata = {"labels": {"flock": meta["name"]}, "ownerReferences": [owner | {"controller": True}]}
    data = {"colour": flock["spec"]["colour"]}
    names = [f"{meta['name']}-{number}" for number in range(flock["spec"]["size"])]
    return {name: {"metadata": metadata | {"name": name}, "data": data} for name in names}


def tend(core, flock):
    namespace, mine = flock["metadata"]["namespace"], flock["metadata"]["name"]
    generation = str(flock["metadata"]["generation"])
    book = core.read_namespaced_config_map("book", namespace)
    if (book.data or {}).get(mine) == generation:
        return
    core.patch_namespaced_config_map("book", namespace, {"data": {mine: generation}})
    names = {each.metadata.name for each in core.list_namespaced_config_map(namespace).items}
    for name, sheep in wanted_of(flock).items():
        if name not in names:
            core.create_namespaced_config_map(namespace, sheep)


client.CoreV1Api(lab.api).patch_namespaced_config_map(
    "book", lab.namespace, [{"op": "add", "path": "/data", "value": {}}]
)

lab.deploy(tend, name="shepherd", writes_per_second=5)
