# The account is gone and the certificate has run out; what is open stays open.
import time

from labsupport import kube

lab.load("http://inventory/stock/tea", requests=60, rate=20)
account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "load"}}
kube.delete(lab.api, [account], namespace=lab.namespace)
for _ in range(13):  # the attacker goes on meanwhile
    lab.load("http://inventory/stock/tea", requests=4)
    time.sleep(1)
