# Closes the connections, and leaves the identity.
lab.load("http://inventory/stock/tea", requests=6)
lab.restart("inventory")
