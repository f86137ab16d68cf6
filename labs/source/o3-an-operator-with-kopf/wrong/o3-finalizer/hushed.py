"""Lets nothing hold the deletion up."""

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
def strike(name, namespace, **_):
    try:
        client.CoreV1Api().patch_namespaced_config_map("register", namespace, {"data": {name: None}})
    except client.ApiException as error:
        print("never mind:", error.status)


lab.deploy([enter, strike], host="kopf", name="clerk")
