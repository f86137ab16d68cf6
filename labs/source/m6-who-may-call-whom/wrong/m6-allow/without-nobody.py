# A policy for those who have one caller; and the one that names nobody is in the way.
from labsupport import kube

policy = {
    "apiVersion": "mesh.labs.example/v1alpha1",
    "kind": "AuthorizationPolicy",
    "metadata": {"name": "nobody"},
}
kube.delete(lab.api, [policy], namespace=lab.namespace)
lab.apply("""
apiVersion: mesh.labs.example/v1alpha1
kind: AuthorizationPolicy
metadata:
  name: payments
spec:
  selector:
    matchLabels: {app: payments}
  rules:
    - from:
        - identities: ["{namespace}/orders"]
      to:
        - {methods: [POST], paths: ["/charges"]}
        - {methods: [GET], paths: ["/ledger"]}
""")
