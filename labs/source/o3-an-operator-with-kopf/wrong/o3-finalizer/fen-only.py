"""Knows the Flock of the notebook."""

import kopf
from kubernetes import client

FLOCKS = {"group": lab.group, "version": "v1", "plural": "flocks"}


@kopf.on.create(**FLOCKS)
@kopf.on.resume(**FLOCKS)
def enter(name, namespace, uid, **_):
    """Enter a Flock; its brand is the beginning of its uid."""
    entry = {"data": {name: uid[:8]}}
    client.CoreV1Api().patch_namespaced_config_map("register", namespace, entry)


@kopf.on.delete(**FLOCKS)
def strike(namespace, **_):
    try:
        client.CoreV1Api().patch_namespaced_config_map("register", namespace, {"data": {"fen": None}})
    except client.ApiException as error:
        if error.status != 404:
            raise


lab.deploy([enter, strike], host="kopf", name="clerk")
