# No TLS of its own, and no proxy either: somebody thought that it was in the way.
plain = lab.read("../../../clusters/manifests/shop/payments.yaml")
out = """      annotations:
        mesh.labs.example/inject: "false"
    spec:
      containers:"""
lab.apply(plain.replace("    spec:\n      containers:", out))
lab.apply(lab.read("../../../clusters/manifests/shop/orders.yaml"))
