# The packets' heads, and nothing of the greeting.
visible = {"addresses", "ports", "sizes"}
