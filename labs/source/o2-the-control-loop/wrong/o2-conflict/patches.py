"""A merge patch of the one key: it is never refused, and so it loses wool."""


def add_wool(core, namespace, name, kilos):
    barn = core.read_namespaced_config_map(name, namespace)
    total = int(barn.data["kilos"]) + kilos
    core.patch_namespaced_config_map(name, namespace, {"data": {"kilos": str(total)}})
