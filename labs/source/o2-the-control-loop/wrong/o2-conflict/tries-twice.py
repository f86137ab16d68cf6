"""Reads and tries again, once."""

from kubernetes import client


def add_wool(core, namespace, name, kilos):
    for attempt in range(2):
        barn = core.read_namespaced_config_map(name, namespace)
        barn.data["kilos"] = str(int(barn.data["kilos"]) + kilos)
        try:
            core.replace_namespaced_config_map(name, namespace, barn)
            return
        except client.ApiException:
            if attempt:
                raise
