# Decides, and tells nobody.
def decide(review, pod, csr):
    if review.get("authenticated") and pod:
        csr["names"]
