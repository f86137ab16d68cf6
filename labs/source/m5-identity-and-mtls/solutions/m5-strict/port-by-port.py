# The callers first, then the service; and plaintext refused on the one port that is called.
lab.apply("""
apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
  labels:
    mesh.labs.example/inject: "true"
""")
lab.restart("till", annotations={"mesh.labs.example/inject": "true"})
lab.restart("customers", "load")
lab.restart("inventory")
lab.apply("""
apiVersion: mesh.labs.example/v1alpha1
kind: PeerAuthentication
metadata:
  name: default
spec:
  ports:
    - port: 8080
      mode: STRICT
""")
