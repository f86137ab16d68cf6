# One table, one policy for each door, made by a loop.
NEEDED = {
    "web": ("load", "GET", "/buy/*"),
    "orders": ("web", "POST", "/orders"),
    "news": ("web", "GET", "/today"),
    "inventory": ("orders", "GET", "/stock/*"),
    "payments": ("orders", "POST", "/charges"),
}
for door, (caller, method, path) in NEEDED.items():
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
        - {{methods: [{method}], paths: ["{path}"]}}
""")
