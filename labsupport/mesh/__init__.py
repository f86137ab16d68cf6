"""The mini mesh: real Envoy beside each application, a control plane in Python. README.md here says how it works."""
