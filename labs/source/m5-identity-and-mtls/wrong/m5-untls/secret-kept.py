# All is taken out, and the key is kept for later.
from labsupport import kube

secret = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "payments-tls"},
    "stringData": {"tls.key": "a key"},
}
kube.apply(lab.api, [secret], namespace=lab.namespace)
lab.apply(lab.read("../../../clusters/manifests/shop/payments.yaml"))
lab.apply(lab.read("../../../clusters/manifests/shop/orders.yaml"))
