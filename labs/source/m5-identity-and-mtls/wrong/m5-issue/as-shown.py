# The example's identity, for everybody.
def decide(review, pod, csr):
    return "spiffe://labs.example/ns/shop/sa/inventory"
