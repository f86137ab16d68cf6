"""A Gateway's proxies as objects of Kubernetes, who keeps them, and what is said of Gateways in their status."""
