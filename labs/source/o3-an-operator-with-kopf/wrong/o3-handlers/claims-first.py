"""Says that it is done before it begins."""

import kopf
from kubernetes import client

from labsupport.operators.flocks import bring_into_order

FLOCKS = {"group": lab.group, "version": "v1", "plural": "flocks"}
OFTEN = 3  # seconds


@kopf.on.create(**FLOCKS)
@kopf.on.update(**FLOCKS)
@kopf.on.resume(**FLOCKS)
@kopf.timer(**FLOCKS, interval=OFTEN)
def tend(body, spec, patch, **_):
    patch.status["observedGeneration"] = body.metadata["generation"]
    patch.status["sheep"] = spec["size"]
    bring_into_order(client.CoreV1Api(), body)


lab.deploy([tend], host="kopf", name="shepherd")
