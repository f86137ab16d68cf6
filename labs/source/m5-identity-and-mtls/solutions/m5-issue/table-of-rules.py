# One table of what must hold.
from labsupport.operators.authority import NotCertified


def decide(review, pod, csr):
    user = review.get("user") or {}
    tied = {key.rpartition("/")[2]: values[0] for key, values in (user.get("extra") or {}).items() if values}
    words = str(user.get("username")).split(":")
    pod = pod or {"metadata": {"uid": None}, "spec": {}}
    own = "spiffe://labs.example/ns/" + "/sa/".join(words[2:])
    rules = (
        review.get("authenticated"),
        "mesh.labs.example" in (review.get("audiences") or ()),
        len(words) == 4 and words[:2] == ["system", "serviceaccount"],
        tied.get("pod-name") and tied.get("pod-uid"),
        pod["metadata"]["uid"] == tied.get("pod-uid"),
        pod["spec"].get("serviceAccountName") == words[-1],
        pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"),
        csr["signed"],
        set(csr["names"]) <= {own},
        csr["brought_by"] in {"", tied.get("pod-uid")},
    )
    if not all(rules):
        raise NotCertified("a rule does not hold")
    return own


lab.deploy(decide, host="authority", name="authority")
