"""After a conflict it fetches the new version, and writes the old sum with it."""

from kubernetes import client


def add_wool(core, namespace, name, kilos):
    barn = core.read_namespaced_config_map(name, namespace)
    barn.data["kilos"] = str(int(barn.data["kilos"]) + kilos)
    while True:
        try:
            core.replace_namespaced_config_map(name, namespace, barn)
            return
        except client.ApiException as error:
            if error.status != 409:
                raise
            fresh = core.read_namespaced_config_map(name, namespace)
            barn.metadata.resource_version = fresh.metadata.resource_version
