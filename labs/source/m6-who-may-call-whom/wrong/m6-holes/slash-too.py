# As if the proxy compared the path as it was sent.
through = {"another method", "another path", "no name at all", "a double slash"}
