# web is where customers see the error.
from labsupport import kube

pods = kube.list_objects(lab.api, "v1", "Pod", lab.namespace, labels="app=web")
service = "web"
address = pods[0]["status"]["podIP"]
