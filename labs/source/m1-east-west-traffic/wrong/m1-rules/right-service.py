# The right Service, and the address that is in order.
from labsupport import kube

pods = kube.list_objects(lab.api, "v1", "Pod", lab.namespace, labels="app=payments")
service = "payments"
address = pods[0]["status"]["podIP"]
