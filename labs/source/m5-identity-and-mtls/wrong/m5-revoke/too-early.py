# Closes the connections while the certificate is still good: load is back within the second.
import time

from labsupport import kube

path = f"/apis/apps/v1/namespaces/{lab.namespace}/deployments/inventory"
account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "load"}}
kube.delete(lab.api, [account], namespace=lab.namespace)
kube.patch(
    lab.api, path, {"spec": {"template": {"metadata": {"annotations": {"labs.example/closed": "early"}}}}}
)
for _ in range(40):  # the attacker goes on meanwhile
    lab.load("http://inventory/stock/tea", requests=2)
    time.sleep(0.4)
