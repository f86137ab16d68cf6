"""Suites that others wrote, run against a cluster of ours: Kubernetes' own end-to-end tests.

`suite.run` runs them; data (images, test root, selection) is in clusters/conformance. Nothing here is needed by a
cluster, and nothing of it is in a cluster that was not prepared.
"""
