# Objects instead of text: a rule for each call, and callers by their SPIFFE IDs.
from labsupport import kube

ASKS = [
    ("load", "web", "GET", "/buy/*"),
    ("web", "orders", "POST", "/orders"),
    ("web", "news", "GET", "/today"),
    ("orders", "inventory", "GET", "/stock/*"),
    ("orders", "payments", "POST", "/charges"),
    ("orders", "payments", "GET", "/ledger"),
]
rules = {}
for caller, door, method, path in ASKS:
    who = f"spiffe://labs.example/ns/{lab.namespace}/sa/{caller}"
    rule = {"from": [{"identities": [who]}], "to": [{"methods": [method], "paths": [path]}]}
    rules.setdefault(door, []).append(rule)
policies = [
    {
        "apiVersion": "mesh.labs.example/v1alpha1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": door},
        "spec": {"selector": {"matchLabels": {"app": door}}, "rules": found},
    }
    for door, found in rules.items()
]
kube.apply(lab.api, policies, namespace=lab.namespace)
