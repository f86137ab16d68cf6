"""Suites that others wrote, run against a cluster of ours: Kubernetes' own end-to-end tests, and the Gateway API's.

`suite.run` runs the first, `gateway.run` the second; data (images, test root, selections) is in clusters/conformance.
Nothing here is needed by a cluster, and nothing of it is in a cluster that was not prepared.
"""
