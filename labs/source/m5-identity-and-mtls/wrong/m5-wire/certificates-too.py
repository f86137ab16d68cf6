# As it was in TLS 1.2.
visible = {"addresses", "ports", "sizes", "offered protocols", "server's identity", "caller's identity"}
