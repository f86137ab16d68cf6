# The rules made from a table, by SPIFFE IDs; told first, then in force by a change of nothing but the mode.
from labsupport import kube

ASKS = {"till": ("POST", "/charges"), "books": ("GET", "/ledger")}
rules = []
for caller, (method, path) in ASKS.items():
    who = f"spiffe://labs.example/ns/{lab.namespace}/sa/{caller}"
    rules.append({"from": [{"identities": [who]}], "to": [{"methods": [method], "paths": [path]}]})
policy = {
    "apiVersion": "mesh.labs.example/v1alpha1",
    "kind": "AuthorizationPolicy",
    "metadata": {"name": "callers-of-the-bank"},
    "spec": {"selector": {"matchLabels": {"app": "bank"}}, "mode": "Audit", "rules": rules},
}
kube.apply(lab.api, [policy], namespace=lab.namespace)
place = f"/apis/mesh.labs.example/v1alpha1/namespaces/{lab.namespace}/authorizationpolicies"
for name in ("callers-of-the-bank", "nobody"):
    kube.patch(lab.api, f"{place}/{name}", {"spec": {"mode": "Enforce"}})
