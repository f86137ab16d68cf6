# One table of what must hold; the first that does not is the reason.
from labsupport.operators.authority import NotCertified


def decide(review, pod, csr):
    user = review.get("user") or {}
    tied = {key.rpartition("/")[2]: values[0] for key, values in (user.get("extra") or {}).items() if values}
    words = user.get("username", "").split(":")
    namespace, account = words[2:] if len(words) == 4 else ("", "")
    pod = pod or {"metadata": {"uid": None}, "spec": {}}
    own = "/".join(("spiffe://labs.example/ns", namespace, "sa", account))
    rules = {
        "no such token": review.get("authenticated") is True,
        "not for us": "mesh.labs.example" in (review.get("audiences") or ()),
        "no ServiceAccount": words[:2] == ["system", "serviceaccount"] and namespace and account,
        "not tied to a Pod": tied.get("pod-name") and tied.get("pod-uid"),
        "not this Pod": pod["metadata"]["uid"] == tied.get("pod-uid"),
        "not its account": pod["spec"].get("serviceAccountName") == account,
        "over": pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"),
        "not signed": csr["signed"],
        "wants to be another": set(csr["names"]) <= {own},
        "another's key": csr["brought_by"] in {"", tied.get("pod-uid")},
    }
    for why, holds in rules.items():
        if not holds:
            raise NotCertified(why)
    return own


lab.deploy(decide, host="authority", name="authority")
