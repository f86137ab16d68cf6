"""Would like to be called, and does not insist."""

import kopf
from kubernetes import client

FLOCKS = {"group": lab.group, "version": "v1", "plural": "flocks"}


@kopf.on.create(**FLOCKS)
@kopf.on.resume(**FLOCKS)
def enter(name, namespace, uid, **_):
    """Enter a Flock; its brand is the beginning of its uid."""
    entry = {"data": {name: uid[:8]}}
    client.CoreV1Api().patch_namespaced_config_map("register", namespace, entry)


@kopf.on.delete(**FLOCKS, optional=True)
def strike(name, namespace, **_):
    entry = {"data": {name: None}}
    try:
        client.CoreV1Api().patch_namespaced_config_map("register", namespace, entry)
    except client.ApiException as error:
        if error.status != 404:
            raise


lab.deploy([enter, strike], host="kopf", name="clerk")
