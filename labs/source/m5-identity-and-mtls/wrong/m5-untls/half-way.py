# payments speaks HTTP again, behind the port that orders do not call.
from labsupport import kube

lab.apply(lab.read("../../../clusters/manifests/shop/payments.yaml").replace("port: 80\n", "port: 443\n"))
lab.apply(lab.read("../../../clusters/manifests/shop/orders.yaml"))
for name in ("payments", "orders"):
    target = kube.Target("apps/v1", "Deployment", name, lab.namespace)
    kube.until_ready(lab.api, [target], timeout=60)
