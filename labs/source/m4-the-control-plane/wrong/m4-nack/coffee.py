culprit = "Service/coffee"
