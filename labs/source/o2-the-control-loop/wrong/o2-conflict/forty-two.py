"""Writes what came out in the race above."""


def add_wool(core, namespace, name, kilos):
    core.patch_namespaced_config_map(name, namespace, {"data": {"kilos": "135"}})
