"""Takes every refusal for a conflict."""

from kubernetes import client


def add_wool(core, namespace, name, kilos):
    while True:
        try:
            barn = core.read_namespaced_config_map(name, namespace)
            barn.data["kilos"] = str(int(barn.data["kilos"]) + kilos)
            core.replace_namespaced_config_map(name, namespace, barn)
            return
        except client.ApiException:
            continue
