culprit = "HTTPRoute/sale"
