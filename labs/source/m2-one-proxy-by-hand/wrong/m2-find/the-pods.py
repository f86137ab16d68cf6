# The Pods that refuse the connections, since they listen elsewhere.
gate = lab.proxy("gate")
refusing = []
while not refusing:  # until it has had its turn
    gate.send("/")
    endpoints = [endpoint for cluster in gate.way().clusters for endpoint in cluster.endpoints]
    refusing = [each.address for each in endpoints if each.failures and not each.requests]
(address,) = refusing
culprit = "Deployment/web-spare"
