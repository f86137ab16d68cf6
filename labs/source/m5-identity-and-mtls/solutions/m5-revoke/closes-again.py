# Closes the connections again and again, until nobody comes back.
from labsupport import kube

account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "load"}}
kube.delete(lab.api, [account], namespace=lab.namespace)
while lab.load("http://inventory/stock/tea").ok:
    lab.restart("inventory")
