"""Is called, and does nothing."""

import kopf
from kubernetes import client

from labsupport.operators.flocks import bring_into_order

FLOCKS = {"group": lab.group, "version": "v1", "plural": "flocks"}
OFTEN = 3  # seconds


@kopf.on.create(**FLOCKS)
@kopf.on.update(**FLOCKS)
@kopf.on.resume(**FLOCKS)
@kopf.timer(**FLOCKS, interval=OFTEN)
def tend(**_):
    pass


lab.deploy([tend], host="kopf", name="shepherd")
