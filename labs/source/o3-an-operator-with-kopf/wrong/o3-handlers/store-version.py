"""Takes the version of the store for the generation."""

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
    patch.status["sheep"] = bring_into_order(client.CoreV1Api(), body)
    patch.status["observedGeneration"] = int(body.metadata["resourceVersion"])


lab.deploy([tend], host="kopf", name="shepherd")
