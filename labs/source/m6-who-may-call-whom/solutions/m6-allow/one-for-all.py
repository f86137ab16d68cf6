# One table, one policy for each door, made by a loop.
NEEDED = {
    "web": ("load", {"GET": "/buy/*"}),
    "orders": ("web", {"POST": "/orders"}),
    "news": ("web", {"GET": "/today"}),
    "inventory": ("orders", {"GET": "/stock/*"}),
    "payments": ("orders", {"POST": "/charges", "GET": "/ledger"}),
}
for door, (caller, asks) in NEEDED.items():
    lines = "\n".join(f"        - {{methods: [{method}], paths: [{path}]}}" for method, path in asks.items())
    lab.apply(f"""
apiVersion: mesh.labs.example/v1alpha1
kind: AuthorizationPolicy
metadata:
  name: {door}
spec:
  selector:
    matchLabels: {{app: {door}}}
  rules:
    - from:
        - identities: ["{lab.namespace}/{caller}"]
      to:
{lines}
""")
