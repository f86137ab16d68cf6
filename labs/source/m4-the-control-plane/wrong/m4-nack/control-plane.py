culprit = "Deployment/snapshot"
