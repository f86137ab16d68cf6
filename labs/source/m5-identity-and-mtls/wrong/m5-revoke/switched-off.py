# Switches the Pod off, and with it what somebody wanted to examine.
from labsupport import kube

path = f"/apis/apps/v1/namespaces/{lab.namespace}/deployments/load"
kube.patch(lab.api, path, {"spec": {"replicas": 0}})
account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "load"}}
kube.delete(lab.api, [account], namespace=lab.namespace)
