"""Reads the register, and writes it back, as often as others come between."""

import kopf
from kubernetes import client

FLOCKS = {"group": lab.group, "version": "v1", "plural": "flocks"}


@kopf.on.create(**FLOCKS)
@kopf.on.resume(**FLOCKS)
def enter(name, namespace, uid, **_):
    """Enter a Flock; its brand is its uid."""
    entry = {"data": {name: uid}}
    client.CoreV1Api().patch_namespaced_config_map("register", namespace, entry)


@kopf.on.delete(**FLOCKS)
def strike(meta, **_):
    core = client.CoreV1Api()
    while True:
        try:
            register = core.read_namespaced_config_map("register", meta["namespace"])
            if meta["name"] not in (register.data or {}):
                return
            del register.data[meta["name"]]
            core.replace_namespaced_config_map("register", meta["namespace"], register)
        except client.ApiException as error:
            if error.status == 404:
                return
            if error.status != 409:
                raise


lab.deploy([enter, strike], host="kopf", name="clerk")
