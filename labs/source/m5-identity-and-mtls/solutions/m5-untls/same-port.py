# payments keeps the port that it has had with TLS, and orders are told so.
payments = lab.read("../../../clusters/manifests/shop/payments.yaml")
orders = lab.read("../../../clusters/manifests/shop/orders.yaml")
lab.apply(payments.replace("port: 80\n", "port: 443\n"))
lab.apply(orders.replace("http://payments", "http://payments:443"))
