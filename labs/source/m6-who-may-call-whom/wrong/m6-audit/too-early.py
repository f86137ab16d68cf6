# In force first, and mended once somebody complained.
from labsupport import kube
from labsupport.kube.execute import execute

lab.apply(lab.read("start/draft.yaml"))
books = kube.ready_pods(lab.api, lab.namespace, "app=books")[0]["metadata"]["name"]
# Until they have been refused once; the shell looks at its own count.
waiting = "until [ $(cut -d' ' -f2 /tmp/record) -gt 0 ]; do sleep 0.1; done"
execute(lab.api, lab.namespace, books, ["bash", "-c", waiting])
lab.apply("""
apiVersion: mesh.labs.example/v1alpha1
kind: AuthorizationPolicy
metadata:
  name: bank
spec:
  selector:
    matchLabels: {app: bank}
  rules:
    - from:
        - identities: ["{namespace}/till"]
      to:
        - {methods: [POST], paths: [/charges]}
    - from:
        - identities: ["{namespace}/books"]
      to:
        - {methods: [GET], paths: [/ledger]}
---
apiVersion: mesh.labs.example/v1alpha1
kind: AuthorizationPolicy
metadata:
  name: nobody
spec:
  action: Allow
""")
