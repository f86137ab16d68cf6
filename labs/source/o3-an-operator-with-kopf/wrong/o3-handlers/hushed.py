"""Keeps failures to itself."""

import kopf
from kubernetes import client

from labsupport.operators.flocks import bring_into_order

FLOCKS = {"group": lab.group, "version": "v1", "plural": "flocks"}
OFTEN = 3  # seconds


@kopf.on.create(**FLOCKS)
@kopf.on.update(**FLOCKS)
@kopf.on.resume(**FLOCKS)
@kopf.timer(**FLOCKS, interval=OFTEN)
def tend(body, patch, **_):
    try:
        patch.status["sheep"] = bring_into_order(client.CoreV1Api(), body)
        patch.status["observedGeneration"] = body.metadata["generation"]
    except client.ApiException as error:
        print("will do better next time:", error.status)


lab.deploy([tend], host="kopf", name="shepherd")
