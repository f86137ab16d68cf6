"""Computes the sum and tells nobody."""


def add_wool(core, namespace, name, kilos):
    barn = core.read_namespaced_config_map(name, namespace)
    return int(barn.data["kilos"]) + kilos
