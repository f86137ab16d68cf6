# Nobody looked who still speaks plaintext.
import time

lab.apply("""
apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
  labels:
    mesh.labs.example/inject: "true"
""")
lab.restart("inventory", "customers", "load")
lab.apply("""
apiVersion: mesh.labs.example/v1alpha1
kind: PeerAuthentication
metadata:
  name: default
spec:
  mode: STRICT
""")
time.sleep(3)
