# Encrypted among themselves, and open to everybody else.
lab.apply(lab.read("../../../clusters/manifests/shop/payments.yaml"))
lab.apply(lab.read("../../../clusters/manifests/shop/orders.yaml"))
lab.apply("""
apiVersion: mesh.labs.example/v1alpha1
kind: PeerAuthentication
metadata:
  name: default
spec:
  mode: PERMISSIVE
""")
