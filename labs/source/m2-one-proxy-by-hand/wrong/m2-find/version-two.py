# Version 2, which is new and answers everything.
from labsupport import kube

service = kube.get(lab.api, "v1", "Service", "web-next", lab.namespace)
address = f"{service['spec']['clusterIP']}:80"
culprit = "Deployment/web-next"
