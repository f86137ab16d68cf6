# The right address, and the object that is changed most often.
gate = lab.proxy("gate")
for _ in range(6):  # so that each endpoint has its turn
    gate.send("/")
endpoints = [endpoint for cluster in gate.way().clusters for endpoint in cluster.endpoints]
(address,) = [endpoint.address for endpoint in endpoints if endpoint.failures]
culprit = "Deployment/gate"
