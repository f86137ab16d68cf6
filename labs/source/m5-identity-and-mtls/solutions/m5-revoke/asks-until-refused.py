# Waits for as long as a new connection is accepted, and not by the clock.
import time

from labsupport import kube

account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "load"}}
kube.delete(lab.api, [account], namespace=lab.namespace)
pods = kube.list_objects(lab.api, "v1", "Pod", lab.namespace, labels="app=inventory")
url = f"http://{pods[0]['status']['podIP']}:8080/stock/tea"
while lab.load(url, requests=1, keep=False).ok:
    time.sleep(1)
lab.restart("inventory", annotations={"labs.example/closed": "for load"})
