# Closes the connections while the certificate is still good: load is back within the second.
import time

from labsupport import kube

lab.restart("inventory")
account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "load"}}
kube.delete(lab.api, [account], namespace=lab.namespace)
time.sleep(22)
