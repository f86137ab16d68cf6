# First of all plaintext is forbidden; the callers get their proxies afterwards.
lab.apply("""
apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
  labels:
    mesh.labs.example/inject: "true"
""")
lab.apply("""
apiVersion: mesh.labs.example/v1alpha1
kind: PeerAuthentication
metadata:
  name: default
spec:
  mode: STRICT
""")
lab.restart("inventory")
lab.restart("customers", "load")
lab.restart("till", annotations={"mesh.labs.example/inject": "true"})
