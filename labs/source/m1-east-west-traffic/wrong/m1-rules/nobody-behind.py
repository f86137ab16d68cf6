# returns has no endpoints at all.
from labsupport import kube

service = "returns"
address = kube.get(lab.api, "v1", "Service", service, lab.namespace)["spec"]["clusterIP"]
