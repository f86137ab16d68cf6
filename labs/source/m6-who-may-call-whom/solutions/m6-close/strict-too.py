# Plaintext is refused, the list of forbidden things is gone, and what payments is for is said.
from labsupport import kube

ledger = {
    "apiVersion": "mesh.labs.example/v1alpha1",
    "kind": "AuthorizationPolicy",
    "metadata": {"name": "ledger"},
}
kube.delete(lab.api, [ledger], namespace=lab.namespace)
lab.apply("""
apiVersion: mesh.labs.example/v1alpha1
kind: PeerAuthentication
metadata:
  name: default
spec:
  mode: STRICT
---
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
    - from:
        - identities: ["{namespace}/orders"]
      to:
        - {methods: [GET], paths: ["/ledger"]}
""")
