"""A patch that tests the number it is based on, and touches nothing else."""

import itertools

from kubernetes import client


def add_wool(core, namespace, name, kilos):
    for _ in itertools.count():
        barn = core.read_namespaced_config_map(name, namespace)
        before = barn.data["kilos"]
        patch = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": barn.metadata.resource_version},
            {"op": "replace", "path": "/data/kilos", "value": f"{int(before) + kilos}"},
        ]
        try:
            core.patch_namespaced_config_map(name, namespace, patch)
            return
        except client.ApiException as refused:
            if refused.status not in (409, 422):  # a test that fails is answered with 422
                raise
