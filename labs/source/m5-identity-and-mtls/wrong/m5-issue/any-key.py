# The request is signed, so it must be theirs.
from labsupport.operators.authority import NotCertified

AUDIENCE = "mesh.labs.example"
POD, UID = "authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid"


def decide(review, pod, csr):
    if not review.get("authenticated"):
        raise NotCertified("the API server does not know this token")
    if AUDIENCE not in (review.get("audiences") or []):
        raise NotCertified("the token is for somebody else")
    user = review.get("user") or {}
    system, kind, namespace, account = [*user.get("username", "").split(":"), "", "", ""][:4]
    if (system, kind) != ("system", "serviceaccount") or not (namespace and account):
        raise NotCertified("no ServiceAccount")
    extra = user.get("extra") or {}
    name, uid = (extra.get(POD) or [""])[0], (extra.get(UID) or [""])[0]
    if not (name and uid):
        raise NotCertified("the token is tied to no Pod")
    if pod is None or pod["metadata"]["uid"] != uid:
        raise NotCertified("that Pod is gone")
    if pod["spec"].get("serviceAccountName") != account:
        raise NotCertified("that Pod runs as somebody else")
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        raise NotCertified("that Pod is over")
    identity = f"spiffe://labs.example/ns/{namespace}/sa/{account}"
    if not csr["signed"] or any(each != identity for each in csr["names"]):
        raise NotCertified("the request is not one that this Pod may make")
    return identity
