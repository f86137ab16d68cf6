# Written anew, with two Pods of orders; what is left of M1 is removed by name.
from labsupport import kube

lab.apply("""
apiVersion: apps/v1
kind: Deployment
metadata: {name: payments}
spec:
  replicas: 1
  selector: {matchLabels: {app: payments}}
  template:
    metadata: {labels: {app: payments}}
    spec:
      containers:
        - name: payments
          image: labs.example/shop:1
          args: [payments]
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: payments}
spec:
  selector: {app: payments}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
spec:
  replicas: 2
  selector: {matchLabels: {app: orders}}
  template:
    metadata: {labels: {app: orders}}
    spec:
      containers:
        - name: orders
          image: labs.example/shop:1
          args: [orders]
          env:
            - {name: INVENTORY, value: "http://inventory"}
            - {name: PAYMENTS, value: "http://payments:80"}
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 80, targetPort: http}]
""")
old = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "payments-tls"}}
kube.delete(lab.api, [old], namespace=lab.namespace)
for name in ("payments", "orders"):
    target = kube.Target("apps/v1", "Deployment", name, lab.namespace)
    kube.until_ready(lab.api, [target], timeout=60)
