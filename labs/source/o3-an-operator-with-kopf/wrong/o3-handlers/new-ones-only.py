"""Is called for a new Flock, and when the operator starts."""

import kopf
from kubernetes import client

from labsupport.operators.flocks import bring_into_order

FLOCKS = {"group": lab.group, "version": "v1", "plural": "flocks"}
OFTEN = 3  # seconds


@kopf.on.create(**FLOCKS)
@kopf.on.resume(**FLOCKS)
def tend(body, patch, **_):
    patch.status["sheep"] = bring_into_order(client.CoreV1Api(), body)
    patch.status["observedGeneration"] = body.metadata["generation"]


lab.deploy([tend], host="kopf", name="shepherd")
