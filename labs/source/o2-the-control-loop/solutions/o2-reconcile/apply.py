"""Compares what would be applied with what is there, and uses server-side apply for every write."""


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


def differs(wanted, there):
    """Whether a dictionary lacks something of another one, at any depth."""
    if isinstance(wanted, dict):
        return not isinstance(there, dict) or any(
            differs(value, there.get(key)) for key, value in wanted.items()
        )
    return wanted != there


def controller_of(each):
    owners = each["metadata"].get("ownerReferences") or []
    return next((owner["uid"] for owner in owners if owner.get("controller")), None)


def reconcile(core, flock):
    namespace = flock["metadata"]["namespace"]
    listed = core.list_namespaced_config_map(namespace)
    there = {
        each["metadata"]["name"]: each for each in core.api_client.sanitize_for_serialization(listed)["items"]
    }
    wanted = wanted_sheep(flock)
    for name in set(there) - set(wanted):
        if controller_of(there[name]) == flock["metadata"]["uid"]:
            core.delete_namespaced_config_map(name, namespace)
    for name, sheep in wanted.items():
        if differs(sheep, there.get(name)):
            core.patch_namespaced_config_map(
                name,
                namespace,
                {"apiVersion": "v1", "kind": "ConfigMap"} | sheep,
                field_manager="shepherd",
                force=True,
                _content_type="application/apply-patch+yaml",
            )


lab.deploy(reconcile, name="shepherd")
