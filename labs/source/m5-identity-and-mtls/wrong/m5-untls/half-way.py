# payments speaks HTTP again, behind the port that orders do not call.
lab.apply(lab.read("../../../clusters/manifests/shop/payments.yaml").replace("port: 80\n", "port: 443\n"))
lab.apply(lab.read("../../../clusters/manifests/shop/orders.yaml"))
