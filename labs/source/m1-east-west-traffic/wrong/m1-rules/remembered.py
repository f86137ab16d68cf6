# inventory's chain is the longest of all, and remembers its callers.
from labsupport import kube

pods = kube.list_objects(lab.api, "v1", "Pod", lab.namespace, labels="app=inventory")
service = "inventory"
address = pods[0]["status"]["podIP"]
