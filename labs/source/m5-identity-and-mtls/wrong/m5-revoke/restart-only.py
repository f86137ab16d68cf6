# Closes the connections, and leaves the identity.
lab.restart("inventory")
