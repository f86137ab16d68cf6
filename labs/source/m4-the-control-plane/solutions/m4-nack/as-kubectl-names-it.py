# As `kubectl get httproutes -o name` has it.
culprit = "httproute.gateway.networking.k8s.io/archive"
