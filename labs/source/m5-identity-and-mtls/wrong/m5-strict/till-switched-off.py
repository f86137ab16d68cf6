# Who speaks plaintext is switched off, and so nobody does.
from labsupport import kube

lab.apply("""
apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
  labels:
    mesh.labs.example/inject: "true"
""")
lab.restart("inventory", "customers", "load")
path = f"/apis/apps/v1/namespaces/{lab.namespace}/deployments/till"
kube.patch(lab.api, path, {"spec": {"replicas": 0}})
lab.apply("""
apiVersion: mesh.labs.example/v1alpha1
kind: PeerAuthentication
metadata:
  name: default
spec:
  mode: STRICT
""")
