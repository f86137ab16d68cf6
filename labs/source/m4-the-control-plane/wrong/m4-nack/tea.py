culprit = "HTTPRoute/tea"
