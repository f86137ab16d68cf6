"""The embedded back end: a whole Kubernetes node in user namespaces. README.md of `clusters/` tells how it works."""
