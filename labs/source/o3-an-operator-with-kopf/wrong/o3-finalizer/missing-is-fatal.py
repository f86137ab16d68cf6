"""Takes what is gone for an error."""

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
    core = client.CoreV1Api()
    register = core.read_namespaced_config_map("register", namespace)
    del register.data[name]
    core.replace_namespaced_config_map("register", namespace, register)


lab.deploy([enter, strike], host="kopf", name="clerk")
