"""Looks every second, and waits for nothing else."""

import kopf
from kubernetes import client

from labsupport.operators.flocks import bring_into_order

FLOCKS = {"group": lab.group, "version": "v1", "plural": "flocks"}


@kopf.timer(**FLOCKS, interval=1)
def tend(body, meta, patch, **_):
    count = bring_into_order(client.CoreV1Api(), body)
    patch.status.update(sheep=count, observedGeneration=meta["generation"])


lab.deploy([tend], host="kopf", name="shepherd")
