"""The echo application: a server that tells each caller what arrived, and a client that tells what came back.

It stands in for the echo application that the Gateway API's conformance suite deploys (Istio's), whose output the suite
reads line by line: the same flags, the same words in the same form. For the lab's own use as well: whoever wants to
know what a proxy did to a request sends it here.
"""
