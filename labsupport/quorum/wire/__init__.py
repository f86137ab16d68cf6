"""How members talk to each other: frames over mutual TLS, a handshake of versions, typed messages."""
