culprit = "HTTPRoute/web-next"
