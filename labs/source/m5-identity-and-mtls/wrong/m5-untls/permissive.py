# Encrypted among themselves, and open to everybody else.
from labsupport import kube

lab.apply(lab.read("../../../clusters/manifests/shop/payments.yaml"))
lab.apply(lab.read("../../../clusters/manifests/shop/orders.yaml"))
for name in ("payments", "orders"):
    target = kube.Target("apps/v1", "Deployment", name, lab.namespace)
    kube.until_ready(lab.api, [target], timeout=60)
lab.apply("""
apiVersion: mesh.labs.example/v1alpha1
kind: PeerAuthentication
metadata:
  name: default
spec:
  mode: PERMISSIVE
""")
