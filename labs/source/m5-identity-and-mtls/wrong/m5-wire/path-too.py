# What a proxy logs, a listener does not see.
visible = {"addresses", "ports", "sizes", "path", "offered protocols"}
