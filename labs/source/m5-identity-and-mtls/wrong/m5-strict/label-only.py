# The label and the policy, and the Pods of yesterday.
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
