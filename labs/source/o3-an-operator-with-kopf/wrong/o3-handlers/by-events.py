"""Hears of deleted sheep by their events, which nobody repeats."""

import kopf
from kubernetes import client

from labsupport.operators.flocks import bring_into_order

FLOCKS = {"group": lab.group, "version": "v1", "plural": "flocks"}
OFTEN = 3  # seconds


@kopf.on.create(**FLOCKS)
@kopf.on.update(**FLOCKS)
def tend(body, patch, **_):
    patch.status["sheep"] = bring_into_order(client.CoreV1Api(), body)
    patch.status["observedGeneration"] = body.metadata["generation"]


@kopf.on.event("v1", "configmaps", labels={"flock": kopf.PRESENT})
def mind(labels, namespace, **given):
    if given["type"] == "DELETED":
        flocks = client.CustomObjectsApi().list_namespaced_custom_object(**FLOCKS, namespace=namespace)
        for flock in flocks["items"]:
            if flock["metadata"]["name"] == labels["flock"] and "deletionTimestamp" not in flock["metadata"]:
                bring_into_order(client.CoreV1Api(), flock)


lab.deploy([tend, mind], host="kopf", name="shepherd")
