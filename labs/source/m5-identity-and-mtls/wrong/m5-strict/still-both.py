# Everybody has a proxy, and plaintext is taken as before.
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
