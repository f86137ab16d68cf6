# The account is gone and the certificate has run out; what is open stays open.
import time

from labsupport import kube

account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "load"}}
kube.delete(lab.api, [account], namespace=lab.namespace)
time.sleep(22)
