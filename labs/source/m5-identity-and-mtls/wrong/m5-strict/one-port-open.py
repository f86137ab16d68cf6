# STRICT, but for the one port that matters.
lab.apply("""
apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
  labels:
    mesh.labs.example/inject: "true"
""")
lab.restart("inventory", "customers", "load")
lab.restart("till", annotations={"mesh.labs.example/inject": "true"})
lab.apply("""
apiVersion: mesh.labs.example/v1alpha1
kind: PeerAuthentication
metadata:
  name: default
spec:
  mode: STRICT
  ports:
    - port: 8080
      mode: PERMISSIVE
""")
